# SPDX-License-Identifier: Apache-2.0
"""Where reals become levels and integers become reals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.code import (
    BYTE,
    DOUBLE,
    FLOAT,
    LONG,
    POINTER,
    WORD,
    Code,
    Value,
)
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.portable.uniform import boundary_line
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.layouts import Buffer, Levels

Reals = NDArray[np.float32]
# The line may not tell denormal numbers from zero; its rounded sums do not, up to this slope.
_STEEPEST = 2.0**80


@dataclass(frozen=True)
class Quantize:
    """Reals [C, H, W] to levels: how many boundaries each reaches.

    Attributes:
        y: what is written.
        boundaries: offset of the keys of ascending boundaries in the constants, see `_keys`.
        count: of boundaries.
        line: slope and shift of a guess that is exact or one too low; None: a search.
        first: level below all boundaries, and of each boundary.
        height: of each boundary, levels.
    """

    y: Buffer
    boundaries: int
    count: int
    line: tuple[float, float] | None
    first: int
    height: int

    @property
    def units(self) -> int:
        """Rows of the image."""
        return self.y.height

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """quantize(constants, arena, images, first row, end of rows, reals)."""
        arguments = [POINTER, POINTER, LONG, LONG, LONG, POINTER]
        code = Code(module, f"quantize_{self.y.offset}", arguments)
        constants, arena, images, first, end, reals = code.arguments
        y, table = self.y, code.at(constants, self.boundaries)
        pixels = y.height * y.width
        with code.loop(images) as image, code.loop(end, first) as row:
            source = code.at(reals, code.scaled(image, 4 * pixels * y.channels))
            source = code.at(source, code.scaled(row, 4 * y.width))
            written = code.at(arena, code.scaled(image, image_bytes))
            written = code.at(written, code.scaled(row, y.row_bytes, y.at()))
            with code.loop(y.width) as column:
                pixel = code.at(written, code.scaled(column, y.pixel_bytes))
                self._pixel(code, table, code.at(source, code.scaled(column, 4)), pixel, pixels)
        code.end()
        return code.function

    def _pixel(self, code: Code, table: Value, source: Value, target: Value, pixels: int) -> None:
        layout = self.y.layout
        assert isinstance(layout, Levels)
        packed = layout.packing
        blocks, rest = divmod(self.y.channels, packed.block)
        with code.loop(blocks) as block:
            here = code.at(source, code.scaled(block, 4 * pixels * packed.block))
            there = code.at(target, code.scaled(block, packed.bytes(packed.block)))
            self._block(code, table, here, there, pixels, packed.block)
        if rest:
            here = code.at(source, 4 * pixels * packed.block * blocks)
            there = code.at(target, packed.bytes(packed.block * blocks))
            self._block(code, table, here, there, pixels, rest)

    def _block(
        self, code: Code, table: Value, source: Value, target: Value, pixels: int, channels: int
    ) -> None:
        layout = self.y.layout
        assert isinstance(layout, Levels)
        fields = layout.packing.fields
        whole, rest = divmod(channels, fields)
        with code.loop(whole) as at:
            here = code.at(source, code.scaled(at, 4 * pixels * fields))
            self._byte(code, table, here, code.at(target, at), pixels, fields)
        if rest:
            here = code.at(source, 4 * pixels * fields * whole)
            self._byte(code, table, here, code.at(target, whole), pixels, rest)

    def _byte(
        self, code: Code, table: Value, source: Value, target: Value, pixels: int, fields: int
    ) -> None:
        build, layout = code.build, self.y.layout
        assert isinstance(layout, Levels)
        byte: Value = ir.Constant(WORD, 0)
        for field in range(fields):
            count = self._count(code, table, code.load(FLOAT, source, 4 * pixels * field))
            level = build.add(
                build.mul(count, ir.Constant(WORD, self.height)), ir.Constant(WORD, self.first)
            )
            byte = build.or_(byte, build.shl(level, ir.Constant(WORD, layout.packing.bits * field)))
        code.store(build.trunc(byte, BYTE), target)

    def _count(self, code: Code, table: Value, x: Value) -> Value:
        build = code.build
        bits = build.bitcast(x, WORD)
        sign = build.ashr(bits, ir.Constant(WORD, 31))
        key = build.xor(bits, build.and_(sign, ir.Constant(WORD, 0x7FFFFFFF)))
        if self.line is not None:
            slope, shift = (ir.Constant(FLOAT, float(value)) for value in self.line)
            guess = build.fadd(build.fmul(x, slope), shift)
            zero, most = ir.Constant(FLOAT, 0.0), ir.Constant(FLOAT, float(self.count - 1))
            guess = build.select(build.fcmp_ordered(">", guess, zero), guess, zero)
            guess = build.select(build.fcmp_ordered("<", guess, most), guess, most)
            place = build.fptosi(guess, WORD)
        else:
            place = ir.Constant(WORD, 0)
            half = (1 << self.count.bit_length()) // 2
            while half:
                # The place half further on is taken if its boundary exists and is reached.
                next_place = build.add(place, ir.Constant(WORD, half))
                exists = build.icmp_signed("<=", next_place, ir.Constant(WORD, self.count))
                index = build.select(exists, next_place, ir.Constant(WORD, self.count))
                boundary = self._boundary(code, table, build.sub(index, ir.Constant(WORD, 1)))
                taken = build.and_(exists, build.icmp_signed(">=", key, boundary))
                place = build.select(taken, next_place, place)
                half //= 2
            return place
        reached = build.icmp_signed(">=", key, self._boundary(code, table, place))
        return build.add(place, build.zext(reached, WORD))

    @staticmethod
    def _boundary(code: Code, table: Value, index: Value) -> Value:
        return code.load(WORD, table, code.scaled(code.build.sext(index, LONG), 4))


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


def quantize(
    boundaries: Reals, y: Buffer, first: int, height: int, constants: Constants
) -> Quantize:
    """The step that writes `y`."""
    line = boundary_line(boundaries)
    if line and line.slope[0] > _STEEPEST:
        line = None
    return Quantize(
        y=y,
        boundaries=constants.add(_keys(boundaries)),
        count=len(boundaries),
        line=(float(line.slope[0]), float(line.shift[0])) if line else None,
        first=first,
        height=height,
    )


def _keys(reals: Reals) -> NDArray[np.int32]:
    """Integers in the order of float32 numbers; zero counts as -0.0, which +0.0 reaches too.

    Comparisons of integers also see denormal numbers, which a processor may take for zero.
    """
    bits = np.where(reals == 0, np.float32(-0.0), reals).astype(np.float32).view(np.int32)
    return bits ^ (bits >> 31 & 0x7FFFFFFF)
