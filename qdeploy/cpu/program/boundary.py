# SPDX-License-Identifier: Apache-2.0
"""Where integers become reals."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, DOUBLE, FLOAT, LONG, POINTER, WORD, Code, Value
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.layouts import Buffer, Levels


@dataclass(frozen=True)
class Output:
    """Integers to reals and to int64, both [C, H, W].

    Attributes:
        x: int32 or levels of one to a byte.
        scale, offset: of float64 scales and offsets in the constants, one for each integer or, if
            `per_channel`, for each channel.
        per_channel: whether those of a channel are equal.
    """

    x: Buffer
    scale: int
    offset: int
    per_channel: bool

    @property
    def units(self) -> int:
        """All at once."""
        return 1

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """output(constants, arena, images, 0, 1, reals, integers)."""
        arguments = [POINTER, POINTER, LONG, LONG, LONG, POINTER, POINTER]
        code = Code(module, "output", arguments)
        build, x = code.build, self.x
        constants, arena, images, _, _, reals, integers = code.arguments
        pixels = x.height * x.width
        with (
            code.loop(images) as image,
            code.loop(x.channels) as channel,
            code.loop(x.height) as row,
            code.loop(x.width) as column,
        ):
            source = code.at(arena, code.scaled(image, image_bytes, x.at()))
            source = code.at(source, code.scaled(row, x.row_bytes))
            source = code.at(source, code.scaled(column, x.pixel_bytes))
            value = read(code, x, source, channel)
            place = build.add(
                code.scaled(image, pixels * x.channels),
                code.scaled(channel, pixels, code.scaled(row, x.width, column)),
            )
            index = channel
            if not self.per_channel:
                index = code.scaled(channel, pixels, code.scaled(row, x.width, column))
            scale, offset = (
                code.load(DOUBLE, constants, code.scaled(index, 8, table))
                for table in (self.scale, self.offset)
            )
            exact = build.fmul(build.sitofp(value, DOUBLE), scale)
            real = build.fptrunc(build.fadd(exact, offset), FLOAT)
            code.store(real, reals, build.mul(place, code.long(4)), align=4)
            wide = build.sext(value, LONG)
            code.store(wide, integers, build.mul(place, code.long(8)), align=8)
        code.end()
        return code.function


def read(code: Code, x: Buffer, pixel: Value, channel: Value) -> Value:
    """The integer of a channel of a pixel, int32."""
    build = code.build
    if not isinstance(x.layout, Levels):
        return code.load(WORD, pixel, build.mul(channel, code.long(4)), align=4)
    assert x.layout.packing.fields == 1
    level = build.zext(code.load(BYTE, pixel, channel), WORD)
    lattice = x.layout.lattice
    scaled = build.mul(level, ir.Constant(WORD, lattice.step))
    return build.add(scaled, ir.Constant(WORD, lattice.low))
