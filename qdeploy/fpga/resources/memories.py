# SPDX-License-Identifier: Apache-2.0
"""Memories and multipliers as Yosys maps them: block RAM, LUTs, DSP slices (UG473, 474, 479)."""

from __future__ import annotations

from functools import lru_cache

from qdeploy.fpga.lut_memory import lut_sites
from qdeploy.fpga.memory import MemoryStyle, worth_block
from qdeploy.fpga.resources.cost import Cost

# Depth and width of a RAMB18E1; a RAMB36E1 has twice the words, or twice the widest word.
_SHAPES_18 = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
_SHAPES_36 = (*((2 * depth, width) for depth, width in _SHAPES_18), (512, 72))
# Yosys' price of a bit of a word that is read in vain (memory_libmap), where a LUT costs 1.
_MUX_PRICE = 0.5
_BYTE = 9
_MUX_INPUTS = 4  # of the multiplexer that a LUT is
# Yosys multiplies in a DSP slice from so many bits of an operand and of the product on; an unsigned
# operand has at most so many bits in one.
_DSP_OPERAND, _DSP_PRODUCT, _DSP_OPERANDS = 2, 9, (24, 17)


@lru_cache(maxsize=4096)
def block_memory(width: int, depth: int, *, written: bool = False) -> Cost:
    """Block RAMs for words of `width` bits, and LUTs that choose among words read at once.

    All RAMs of a memory have one shape. What is deeper is cut into parts of that depth, whose words
    lie side by side; Yosys takes the shape whose RAMs and multiplexers have the lowest price. Those
    of a memory that is `written` have whole bytes of 9 bits.
    """
    choices = []
    for size, price, shapes in ((0.5, 129, _SHAPES_18), (1.0, 257, _SHAPES_36)):
        for words, bits in shapes:
            parts = -(-depth // words)
            byte = min(bits, _BYTE) if written else 1
            count = -(-(-(-width // byte) * byte * parts) // bits)
            choices.append((price * count + _MUX_PRICE * width * (parts - 1), size * count, parts))
    _, rams, parts = min(choices)
    return Cost(lut=width * _mux_luts(parts), bram36=rams)


def _mux_luts(inputs: int) -> float:
    """LUT sites of a multiplexer of bits: two of two inputs in one, four inputs in each of more."""
    if inputs <= _MUX_INPUTS // 2:
        return (inputs - 1) / 2
    return -(-inputs // _MUX_INPUTS)


def constants(width: int, depth: int, style: MemoryStyle = "auto") -> Cost:
    """A read-only memory as `qdeploy.fpga.memory` makes it, with its output register.

    Equal columns are stored once, and no more differ than there are words of `depth` bits.
    """
    width = min(width, (1 << depth) - 2)
    if depth < 2:
        return Cost()
    if style == "block" or (style == "auto" and worth_block(depth, width)):
        return block_memory(width, depth)
    return Cost(lut=lut_sites(depth, width), ff=width)


def lut_rams(width: int, depth: int) -> int:
    """LUTs of a memory with one write and one read port: RAM32M of 6 bits, RAM64M of 3."""
    if depth <= 32:
        return 4 * -(-width // 6)
    return 4 * -(-width // 3) * -(-depth // 64)


def single_port_rams(width: int, depth: int) -> int:
    """LUTs of a memory with one port: RAM32M of 8 bits, else RAM64X1S to RAM256X1S."""
    if depth <= 32:
        return 4 * -(-width // 8)
    if depth <= 128:
        return width * -(-depth // 64)
    return 4 * width * -(-depth // 256)


def shift_luts(width: int, depth: int) -> int:
    """LUTs of a shift register that is read at any place."""
    return width * -(-depth // 32)


def dsps(one: int, other: int) -> int:
    """DSP slices of a multiplication of operands of so many bits."""
    if min(one, other) < _DSP_OPERAND or one + other < _DSP_PRODUCT:
        return 0
    wide, narrow = _DSP_OPERANDS
    return -(-max(one, other) // wide) * -(-min(one, other) // narrow)
