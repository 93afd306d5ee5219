# SPDX-License-Identifier: Apache-2.0
"""Constant memories of the design: one small Verilog module each, contents included.

The contents are `initial` assignments, so that simulation and synthesis need no file beside the
module (a missing `$readmemh` file is only a warning in most tools, with zeros read instead).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qdeploy.errors import InternalError
from qdeploy.fpga.lut_memory import lut_memory, lut_sites
from qdeploy.integer import Integers
from qdeploy.simulation.packing import pack_words

MemoryStyle = Literal["auto", "block", "distributed"]

# Block RAM is worth it where it replaces more than so many LUT sites per 18 kbit.
_SITES_PER_BLOCK = 64
_BLOCK_WORDS, _BLOCK_WIDTH = 512, 36

_TEMPLATE = """\
// SPDX-License-Identifier: Apache-2.0
// Constant memory: {depth} words of {width} bits.
module {module} (
    input clk,
    input enable,
    input [{address_bits}-1:0] address,
    output reg [{width}-1:0] data
);
{contents}
endmodule
"""
_ARRAY = """\
  {attribute}reg [{width}-1:0] memory[0:{depth}-1];
  initial begin
{words}
  end
  always @(posedge clk) if (enable) data <= memory[address];"""
_LUTS = """\
`ifdef SYNTHESIS
{luts}
  always @(posedge clk) if (enable) data <= word;
`else
{array}
`endif"""


def write_memory(
    path: Path,
    module_name: str,
    words: Sequence[int],
    width_bits: int,
    style: MemoryStyle = "auto",
) -> None:
    """Write a read-only memory: `data` is the word at the `address` of the last enabled cycle.

    Ports: `clk`, `enable`, `address` (`max(1, ceil(log2(depth)))` bits), `data` (`width_bits`).

    Args:
        path: the Verilog file.
        module_name: name of the module in it.
        words: contents by address, each in [0, 2**width_bits).
        width_bits: bits of a word.
        style: block RAM, LUTs ("distributed"), or "auto": block RAM where it is worth it.

    Raises:
        InternalError: if there is no word, or one does not fit.
    """
    path.write_text(memory_module(module_name, words, width_bits, style))


def memory_module(
    module_name: str, words: Sequence[int], width_bits: int, style: MemoryStyle = "auto"
) -> str:
    """The text that `write_memory` writes."""
    if not words or not all(0 <= word < 1 << width_bits for word in words):
        raise InternalError(f"memory {module_name}: words that do not fit {width_bits} bits")
    depth, digits = len(words), -(-width_bits // 4)
    block = style == "block" or (style == "auto" and _worth_block(depth, width_bits))
    contents = _ARRAY.format(
        attribute='(* rom_style = "block" *) ' if block else "",
        width=width_bits,
        depth=depth,
        words="\n".join(
            f"    memory[{address}] = {width_bits}'h{word:0{digits}x};"
            for address, word in enumerate(words)
        ),
    )
    if not block:
        contents = _LUTS.format(luts=lut_memory(words, width_bits), array=contents)
    return _TEMPLATE.format(
        module=module_name,
        depth=depth,
        width=width_bits,
        address_bits=address_bits(depth),
        contents=contents,
    )


def _worth_block(depth: int, width: int) -> bool:
    blocks = -(-depth // _BLOCK_WORDS) * -(-width // _BLOCK_WIDTH)
    return lut_sites(depth, width) > _SITES_PER_BLOCK * blocks


def memory_words(elements: Integers, bits: int) -> list[int]:
    """Words [words, elements] of elements of `bits` bits, element 0 in the lowest bits."""
    return [int.from_bytes(row.tobytes(), "little") for row in pack_words(elements, bits)]


def address_bits(words: int) -> int:
    """Bits of the address of a memory."""
    return max(1, (words - 1).bit_length())
