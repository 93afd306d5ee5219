# SPDX-License-Identifier: Apache-2.0
"""Integers that parts of a network exchange, int32 [N, ...] outside of their programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import each_integer, read
from qdeploy.cpu.program.layouts import Buffer, Levels

_ARGUMENTS = [POINTER, POINTER, LONG, LONG, LONG, POINTER]


@dataclass(frozen=True)
class Receive:
    """Integers that another part gives; what is out of range is clipped, so that levels are valid.

    Attributes:
        y: levels of one to a byte, or int32.
        low, high: of the integers.
        arguments: of the program, that are read.
    """

    y: Buffer
    low: int
    high: int
    arguments: tuple[int, ...]
    description: ClassVar[str] = "integers of another part"
    units: ClassVar[int] = 1

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """receive(constants, arena, images, 0, 1, integers)."""
        code = Code(module, f"receive_{self.y.offset}", _ARGUMENTS)
        build, y = code.build, self.y
        _, arena, images, _, _, integers = code.arguments
        low, high = (ir.Constant(WORD, number) for number in (self.low, self.high))
        with each_integer(code, y, arena, images, image_bytes) as (pixel, channel, _, at):
            value = code.load(WORD, integers, code.scaled(at, 4), align=4)
            value = build.select(build.icmp_signed("<", value, low), low, value)
            value = build.select(build.icmp_signed(">", value, high), high, value)
            if isinstance(y.layout, Levels):
                lattice = y.layout.lattice
                value = build.sub(value, ir.Constant(WORD, lattice.low))
                value = build.udiv(value, ir.Constant(WORD, lattice.step))
                code.store(build.trunc(value, BYTE), pixel, channel)
            else:
                code.store(value, pixel, code.scaled(channel, 4))
        code.end()
        return code.function


@dataclass(frozen=True)
class Give:
    """Integers for another part.

    Attributes:
        x: levels of one to a byte, or int32.
        arguments: of the program, that are written.
    """

    x: Buffer
    arguments: tuple[int, ...]
    description: ClassVar[str] = "integers for another part"
    units: ClassVar[int] = 1

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """give(constants, arena, images, 0, 1, integers)."""
        code = Code(module, f"give_{self.arguments[0]}", _ARGUMENTS)
        _, arena, images, _, _, integers = code.arguments
        with each_integer(code, self.x, arena, images, image_bytes) as (pixel, channel, _, at):
            value = read(code, self.x, pixel, channel)
            code.store(value, integers, code.scaled(at, 4), align=4)
        code.end()
        return code.function
