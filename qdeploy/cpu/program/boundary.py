# SPDX-License-Identifier: Apache-2.0
"""Where integers become reals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, DOUBLE, FLOAT, LONG, POINTER, WORD, Code, Value
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.layouts import Buffer, Levels

# Of onnx.TensorProto, and their sizes.
FLOAT32, INT32, INT64, FLOAT64 = 1, 6, 7, 11
_BYTES = {FLOAT32: 4, INT32: 4, INT64: 8, FLOAT64: 8}


@dataclass(frozen=True)
class Argument:
    """A tensor [N, ...] that a program reads or writes.

    Attributes:
        type: of its elements, as in onnx.TensorProto.
        shape: of an image.
    """

    type: int
    shape: tuple[int, ...]

    @property
    def image_bytes(self) -> int:
        """Of an image."""
        return _BYTES[self.type] * prod(self.shape)


@dataclass(frozen=True)
class Output:
    """Integers to reals and to int64, both [C, H, W].

    Attributes:
        x: int32 or levels of one to a byte.
        scale, offset: of float64 scales and offsets in the constants, one for each integer or, if
            `per_channel`, for each channel.
        per_channel: whether those of a channel are equal.
        wide: whether reals are float64, else float32.
        arguments: of the program, that are written: reals and integers.
    """

    x: Buffer
    scale: int
    offset: int
    per_channel: bool
    wide: bool
    arguments: tuple[int, ...]
    description: ClassVar[str] = "integers to reals"

    @property
    def units(self) -> int:
        """All at once."""
        return 1

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """output(constants, arena, images, 0, 1, reals, integers)."""
        arguments = [POINTER, POINTER, LONG, LONG, LONG, POINTER, POINTER]
        code = Code(module, "output", arguments)
        build = code.build
        constants, arena, images, _, _, reals, integers = code.arguments
        with each_integer(code, self.x, arena, images, image_bytes) as (pixel, channel, index, at):
            value = read(code, self.x, pixel, channel)
            scale, offset = (
                code.load(
                    DOUBLE,
                    constants,
                    code.scaled(channel if self.per_channel else index, 8, table),
                )
                for table in (self.scale, self.offset)
            )
            real = build.fadd(build.fmul(build.sitofp(value, DOUBLE), scale), offset)
            if not self.wide:
                real = build.fptrunc(real, FLOAT)
            size = 8 if self.wide else 4
            code.store(real, reals, code.scaled(at, size), align=size)
            code.store(build.sext(value, LONG), integers, code.scaled(at, 8), align=8)
        code.end()
        return code.function


@contextmanager
def each_integer(
    code: Code, x: Buffer, arena: Value, images: Value, image_bytes: int
) -> Iterator[tuple[Value, Value, Value, Value]]:
    """Pixel, channel, and places in [C, H, W] and [N, C, H, W] of every integer."""
    pixels = x.height * x.width
    with (
        code.loop(images) as image,
        code.loop(x.channels) as channel,
        code.loop(x.height) as row,
        code.loop(x.width) as column,
    ):
        pixel = code.at(arena, code.scaled(image, image_bytes, x.at()))
        pixel = code.at(pixel, code.scaled(row, x.row_bytes))
        pixel = code.at(pixel, code.scaled(column, x.pixel_bytes))
        index = code.scaled(channel, pixels, code.scaled(row, x.width, column))
        yield pixel, channel, index, code.scaled(image, pixels * x.channels, index)


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
