# SPDX-License-Identifier: Apache-2.0
"""Memories and multipliers as Yosys maps them: block RAM, LUTs, DSP slices (UG473, 474, 479)."""

from __future__ import annotations

from qdeploy.fpga.lut_memory import lut_sites
from qdeploy.fpga.memory import MemoryStyle, worth_block
from qdeploy.fpga.resources.cost import Cost

# Depth and width of a RAMB18E1; a RAMB36E1 has twice the words, or twice the widest word.
_SHAPES_18 = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
_SHAPES_36 = (*((2 * depth, width) for depth, width in _SHAPES_18), (512, 72))
# Yosys multiplies in a DSP slice from so many bits of an operand and of the product on; an unsigned
# operand has at most so many bits in one.
_DSP_OPERAND, _DSP_PRODUCT, _DSP_OPERANDS = 2, 9, (24, 17)


def block_rams(width: int, depth: int) -> float:
    """Block RAMs of 36 kbit for words of `width` bits; one kind for the whole memory."""
    return min(
        size * -(-width // w) * -(-depth // d)
        for size, shapes in ((0.5, _SHAPES_18), (1.0, _SHAPES_36))
        for d, w in shapes
    )


def constants(width: int, depth: int, style: MemoryStyle = "auto") -> Cost:
    """A read-only memory as `qdeploy.fpga.memory` makes it, with its output register."""
    if depth < 2:
        return Cost()
    if style == "block" or (style == "auto" and worth_block(depth, width)):
        return Cost(bram36=block_rams(width, depth))
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
