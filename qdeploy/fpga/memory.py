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

MemoryStyle = Literal["auto", "block", "distributed"]

# Yosys has no "distributed" for a ROM and goes on to the second attribute; Vivado takes the first.
_ATTRIBUTES: dict[MemoryStyle, str] = {
    "auto": "",
    "block": '(* rom_style = "block" *) ',
    "distributed": '(* rom_style = "distributed", ram_style = "registers" *) ',
}

_TEMPLATE = """\
// SPDX-License-Identifier: Apache-2.0
// Constant memory: {depth} words of {width} bits.
module {module} (
    input clk,
    input enable,
    input [{address_bits}-1:0] address,
    output reg [{width}-1:0] data
);
  {attribute}reg [{width}-1:0] memory[0:{depth}-1];
  initial begin
{contents}
  end
  always @(posedge clk) if (enable) data <= memory[address];
endmodule
"""


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
        style: what the synthesis tool shall use: block RAM, lookup tables, or its own choice.

    Raises:
        InternalError: if there is no word, or one does not fit.
    """
    if not words or not all(0 <= word < 1 << width_bits for word in words):
        raise InternalError(f"memory {module_name}: words that do not fit {width_bits} bits")
    digits = -(-width_bits // 4)
    contents = "\n".join(
        f"    memory[{address}] = {width_bits}'h{word:0{digits}x};"
        for address, word in enumerate(words)
    )
    path.write_text(
        _TEMPLATE.format(
            module=module_name,
            depth=len(words),
            width=width_bits,
            address_bits=max(1, (len(words) - 1).bit_length()),
            attribute=_ATTRIBUTES[style],
            contents=contents,
        )
    )
