# SPDX-License-Identifier: Apache-2.0
"""Constant memories of the design: one small Verilog module each.

A memory of LUTs contains its words. Those of a block RAM lie in a file beside the module, which
simulation and synthesis read with `$readmemh`: as Verilog statements they would take a compiler
minutes. Most tools only warn when such a file is missing, so design.json holds the hash of each.
(FINN makes names that begin with "./" absolute; elsewhere tools run in the folder of the design.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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
SHALLOW = 64  # words of a memory whose equal columns are kept once
_CONSTANT_BITS = 1 << 16  # every tool reads a number of so many

_TEMPLATE = """\
// SPDX-License-Identifier: Apache-2.0
// Constant memory: {depth} words of {width} bits.
module {module} (
    input clk,
    input enable,
    input [{address_bits}-1:0] address,
    output {kind}[{width}-1:0] data
);
{contents}
endmodule
"""
_ARRAY = """\
  {attribute}reg [{width}-1:0] memory[0:{depth}-1];
  initial $readmemh("./{file}", memory);
  always @(posedge clk) if (enable) data <= memory[address];"""
_CONSTANT = """\
  localparam [{bits}-1:0] WORDS = {bits}'h{words:x};
  always @(posedge clk) if (enable) data <= WORDS[address*{width}+:{width}];"""
_SHARED_ARRAY = """\
  {attribute}reg [{width}-1:0] memory[0:{depth}-1];
  reg [{width}-1:0] word;  // a bit for all columns that are equal
  initial $readmemh("./{file}", memory);
  always @(posedge clk) if (enable) word <= memory[address];
  assign data = {{{columns}}};"""
_LUTS = """\
`ifdef SYNTHESIS
{luts}
  always @(posedge clk) if (enable) data <= word;
`else
{behaviour}
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

    The contents of a block RAM go to `module_name`.mem in the same folder, a hexadecimal word per
    line; if some of its columns are constant or equal (see `stored_columns`), without them.

    Args:
        path: the Verilog file.
        module_name: name of the module in it.
        words: contents by address, each in [0, 2**width_bits).
        width_bits: bits of a word.
        style: block RAM, LUTs ("distributed"), or "auto": block RAM where it is worth it.

    Raises:
        InternalError: if there is no word, or one does not fit.
    """
    path.write_text(memory_module(path.parent, module_name, words, width_bits, style))


def memory_module(
    directory: Path,
    module_name: str,
    words: Sequence[int],
    width_bits: int,
    style: MemoryStyle = "auto",
) -> str:
    """The Verilog that `write_memory` writes; writes the file of contents to `directory` if any."""
    if not words or not all(0 <= word < 1 << width_bits for word in words):
        raise InternalError(f"memory {module_name}: words that do not fit {width_bits} bits")
    depth, bits, shared = len(words), len(words) * width_bits, False
    block = style == "block" or (style == "auto" and worth_block(depth, width_bits))
    if block or bits > _CONSTANT_BITS:
        file = f"{module_name}.mem"
        kept, columns = stored_columns(words, width_bits)
        shared = block and len(kept) < width_bits
        if shared:
            words = [sum((word >> bit & 1) << i for i, bit in enumerate(kept)) for word in words]
        stored = len(kept) if shared else width_bits
        contents = (_SHARED_ARRAY if shared else _ARRAY).format(
            attribute='(* rom_style = "block" *) ' if block else "",
            width=stored,
            depth=depth,
            file=file,
            columns=",\n    ".join(reversed(columns)),  # tools limit the tokens of a line
        )
        digits = -(-stored // 4)
        (directory / file).write_text("".join(f"{word:0{digits}x}\n" for word in words))
    else:
        together = sum(word << (index * width_bits) for index, word in enumerate(words))
        contents = _CONSTANT.format(bits=bits, width=width_bits, words=together)
    if not block:
        contents = _LUTS.format(luts=lut_memory(words, width_bits), behaviour=contents)
    return _TEMPLATE.format(
        module=module_name,
        kind="" if shared else "reg ",
        depth=depth,
        width=width_bits,
        address_bits=address_bits(depth),
        contents=contents,
    )


def stored_columns(words: Sequence[int], width_bits: int) -> tuple[list[int], list[str]]:
    """Bits of a word that a memory must hold, and Verilog of every bit in terms of `word`.

    Constant columns and those equal to another one need no memory. Only shallow memories are
    searched for them: longer columns are hardly ever equal.
    """
    if len(words) > SHALLOW:
        return list(range(width_bits)), [f"word[{bit}]" for bit in range(width_bits)]
    known = {0: "1'b0", (1 << len(words)) - 1: "1'b1"}
    kept: list[int] = []
    columns = []
    for bit in range(width_bits):
        column = sum((word >> bit & 1) << row for row, word in enumerate(words))
        if column not in known:
            known[column] = f"word[{len(kept)}]"
            kept.append(bit)
        columns.append(known[column])
    return kept or [0], columns


@dataclass(frozen=True, eq=False)
class Memory:
    """Constants of an operator: integers [words, elements] and the bits that each element takes."""

    elements: Integers
    bits: int

    @property
    def address_bits(self) -> int:
        """Bits of an address."""
        return address_bits(len(self.elements))

    @property
    def width(self) -> int:
        """Bits of a word."""
        return int(self.elements.shape[1]) * self.bits

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Bits of a word and words."""
        return [(self.width, len(self.elements))]

    def write(self, directory: Path, name: str) -> None:
        """Write module `name`; element 0 in the lowest bits, two's complement."""
        words = memory_words(self.elements, self.bits)
        write_memory(directory / f"{name}.v", name, words, self.width)


def contents_files(source: Path) -> list[Path]:
    """The files with the contents of the memories in a Verilog file."""
    names = re.findall(r'\$readmemh\("([^"]+)"', source.read_text())
    return [source.parent / name for name in names]


def worth_block(depth: int, width: int) -> bool:
    """Whether style "auto" takes block RAM."""
    blocks = -(-depth // _BLOCK_WORDS) * -(-width // _BLOCK_WIDTH)
    return lut_sites(depth, width) > _SITES_PER_BLOCK * blocks


def memory_words(elements: Integers, bits: int) -> list[int]:
    """Words [words, elements] of elements of `bits` bits, element 0 in the lowest bits."""
    return [int.from_bytes(row.tobytes(), "little") for row in pack_words(elements, bits)]


def address_bits(words: int) -> int:
    """Bits of the address of a memory."""
    return max(1, (words - 1).bit_length())
