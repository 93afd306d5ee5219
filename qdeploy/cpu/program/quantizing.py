# SPDX-License-Identifier: Apache-2.0
"""Where reals become levels, or integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
    everywhere,
    splat,
    vector,
)
from qdeploy.cpu.kernels.finish import joined, store_prefix
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.portable.uniform import boundary_line
from qdeploy.cpu.program.boundaries import RealLine, exact_line, keys_of
from qdeploy.cpu.program.boundary import each_integer
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.layouts import Buffer, Levels

# The line may not tell denormal numbers from zero; its rounded sums do not, up to this slope.
_STEEPEST = 2.0**80
_BLOCK = 64  # channels, and columns, at once
_LANES = 16
_COLORS = 4
_ROUNDING = 1.5 * 2.0**52  # added to a small real, leaves its nearest integer in the lowest bits
_FEW = 15  # boundaries that can all be compared with a real
_FEWEST = 5  # for which a line is faster


@dataclass(frozen=True)
class Quantize:
    """Reals [C, H, W] to levels (or integers): how many boundaries each reaches.

    Attributes:
        y: what is written.
        boundaries: offset of the keys of ascending boundaries in the constants, see `keys_of`.
        count: of boundaries.
        exact: a line that gives the number.
        guess: those of a line in float32 that gives it or one less; without both: a search.
        first: level (or integer) below all boundaries.
        height: of each boundary, levels (or integers).
        arguments: of the program, that are read.
    """

    y: Buffer
    boundaries: int
    count: int
    exact: RealLine | None
    guess: tuple[float, float] | None
    first: int
    height: int
    arguments: tuple[int, ...] = (0,)
    description: ClassVar[str] = "reals to integers"

    @property
    def units(self) -> int:
        """Rows of the image; integers of more codes than levels are all written at once."""
        return self.y.height if isinstance(self.y.layout, Levels) else 1

    @property
    def at_once(self) -> bool:
        """Whether the levels of many reals are computed at once."""
        return self.exact is not None or self.count <= _FEW

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """quantize(constants, arena, images, first row, end of rows, reals)."""
        arguments = [POINTER, POINTER, LONG, LONG, LONG, POINTER]
        code = Code(module, f"quantize_{self.y.offset}", arguments)
        if isinstance(self.y.layout, Levels):
            _Writer(self, code).write(image_bytes)
        else:
            _Writer(self, code).write_integers(image_bytes)
        return code.function


class _Writer:
    """Levels of some channels and columns, one to a byte, and then as they are packed."""

    def __init__(self, step: Quantize, code: Code) -> None:
        self.step, self.code = step, code
        self.constants, self.arena, self.images, self.first, self.end, self.reals = code.arguments
        self.table = code.at(self.constants, step.boundaries)
        self.pixels = step.y.height * step.y.width
        self.levels = code.memory(_BLOCK * _BLOCK, align=64)
        if isinstance(step.y.layout, Levels):
            self.packing = step.y.layout.packing

    def write_integers(self, image_bytes: int) -> None:
        code, build, step = self.code, self.code.build, self.step
        integers = each_integer(code, step.y, self.arena, self.images, image_bytes)
        with integers as (pixel, channel, _, at):
            x = code.load(vector(FLOAT, 1), self.reals, code.scaled(at, 4))
            scaled = build.mul(self._search(x), ir.Constant(WORD, step.height))
            value = build.add(scaled, ir.Constant(WORD, step.first))
            code.store(value, pixel, code.scaled(channel, 4))
        code.end()

    def write(self, image_bytes: int) -> None:
        code, y = self.code, self.step.y
        whole, rest = divmod(y.width, _BLOCK)
        with code.loop(self.images) as image, code.loop(self.end, self.first) as row:
            source = code.at(self.reals, code.scaled(image, 4 * self.pixels * y.channels))
            source = code.at(source, code.scaled(row, 4 * y.width))
            written = code.at(self.arena, code.scaled(image, image_bytes))
            written = code.at(written, code.scaled(row, y.row_bytes, y.at()))
            with code.loop(whole) as block:
                here = code.at(source, code.scaled(block, 4 * _BLOCK))
                there = code.at(written, code.scaled(block, _BLOCK * y.pixel_bytes))
                self._columns(here, there, _BLOCK)
            if rest:
                here = code.at(source, 4 * _BLOCK * whole)
                self._columns(here, code.at(written, _BLOCK * whole * y.pixel_bytes), rest)
        code.end()

    def _columns(self, source: Value, target: Value, columns: int) -> None:
        step, code, size = self.step, self.code, self.packing.bytes(_BLOCK)
        if step.at_once and size == _BLOCK and step.y.channels <= _COLORS and columns >= _LANES:
            self._colors(source, target, columns)
            return
        whole, rest = divmod(step.y.channels, _BLOCK)
        with code.loop(whole) as block:
            here = code.at(source, code.scaled(block, 4 * self.pixels * _BLOCK))
            self._block(here, code.at(target, code.scaled(block, size)), columns, _BLOCK)
        if rest:
            here = code.at(source, 4 * self.pixels * _BLOCK * whole)
            self._block(here, code.at(target, size * whole), columns, rest)

    def _block(self, source: Value, target: Value, columns: int, channels: int) -> None:
        code = self.code
        if self.pixels == 1:  # channels lie behind each other
            self._run(source, self.levels, channels)
            if channels == _BLOCK:
                levels = code.load(vector(BYTE, _BLOCK), self.levels)
                packed = self.packing.pack(code, levels)
                store_prefix(code, packed, target, packed.type.count)
                return
            self._pixel(self.levels, target, channels, 1)
            return
        with code.loop(channels) as channel:
            here = code.at(source, code.scaled(channel, 4 * self.pixels))
            self._run(here, code.at(self.levels, code.scaled(channel, _BLOCK)), columns)
        with code.loop(columns) as column:
            there = code.at(target, code.scaled(column, self.step.y.pixel_bytes))
            self._pixel(code.at(self.levels, column), there, channels, _BLOCK)

    def _colors(self, source: Value, target: Value, columns: int) -> None:
        """All of few channels of each pixel, one to a byte, the last pixels perhaps twice."""
        code, channels = self.code, self.step.y.channels
        order = [lane + _LANES * channel for lane in range(_LANES) for channel in range(channels)]

        def write(column: Value) -> None:
            here = code.at(source, code.scaled(column, 4))
            parts = [
                self._of_reals(code.at(here, 4 * self.pixels * k), _LANES) for k in range(channels)
            ]
            levels = joined(code, parts)
            places = ir.Constant(vector(WORD, len(order)), order)
            pixels = code.build.shuffle_vector(levels, levels, places)
            there = code.at(target, code.scaled(column, channels))
            store_prefix(code, pixels, there, len(order))

        with code.loop(columns // _LANES) as block:
            write(code.scaled(block, _LANES))
        if columns % _LANES:
            write(code.long(columns - _LANES))

    def _pixel(self, levels: Value, target: Value, channels: int, stride: int) -> None:
        """Pack the levels of a pixel, which are `stride` bytes apart."""
        code, fields = self.code, self.packing.fields
        whole, rest = divmod(channels, fields)
        with code.loop(whole) as at:
            here = code.at(levels, code.scaled(at, stride * fields))
            self._byte(here, code.at(target, at), fields, stride)
        if rest:
            here = code.at(levels, stride * fields * whole)
            self._byte(here, code.at(target, whole), rest, stride)

    def _byte(self, levels: Value, target: Value, fields: int, stride: int) -> None:
        code, build = self.code, self.code.build
        byte = code.load(BYTE, levels)
        for field in range(1, fields):
            level = code.load(BYTE, levels, field * stride)
            shift = ir.Constant(BYTE, self.packing.bits * field)
            byte = build.or_(byte, build.shl(level, shift))
        code.store(byte, target)

    def _run(self, source: Value, target: Value, count: int) -> None:
        """Reals behind each other to levels, the last registerful perhaps twice."""
        code = self.code
        lanes = _LANES if self.step.at_once and count >= _LANES else 1
        with code.loop(count // lanes) as block:
            place = code.scaled(block, lanes)
            levels = self._of_reals(code.at(source, code.scaled(place, 4)), lanes)
            code.store(levels, target, place)
        if count % lanes:
            place = code.long(count - lanes)
            levels = self._of_reals(code.at(source, code.scaled(place, 4)), lanes)
            code.store(levels, target, place)

    def _of_reals(self, source: Value, lanes: int) -> Value:
        """Their levels, bytes."""
        code, build, step = self.code, self.code.build, self.step
        x = code.load(vector(FLOAT, lanes), source)
        if step.exact is not None:
            count = self._by_line(x, step.exact)
        elif step.count <= _FEW:
            count = self._by_comparisons(x)
        else:
            count = everywhere(code, build.trunc(self._search(x), BYTE), 1)
        level = build.mul(count, splat(BYTE, lanes, step.height))
        return build.add(level, splat(BYTE, lanes, step.first))

    def _by_line(self, x: Value, line: RealLine) -> Value:
        build, lanes = self.code.build, x.type.count
        ends = (line.slope, line.shift, -line.addend, self.step.count - line.addend, _ROUNDING)
        slope, shift, least, most, rounding = (splat(DOUBLE, lanes, float(end)) for end in ends)
        real = build.fpext(x, vector(DOUBLE, lanes))
        real = build.fadd(build.fmul(real, slope), shift)
        real = build.select(build.fcmp_ordered(">", real, least), real, least)
        real = build.select(build.fcmp_ordered("<", real, most), real, most)
        bits = build.bitcast(build.fadd(real, rounding), vector(LONG, lanes))
        return build.add(build.trunc(bits, vector(BYTE, lanes)), splat(BYTE, lanes, line.addend))

    def _by_comparisons(self, x: Value) -> Value:
        code, build, lanes = self.code, self.code.build, x.type.count
        key, count = self._key(x), splat(BYTE, lanes, 0)
        for k in range(self.step.count):
            boundary = everywhere(code, code.load(WORD, self.table, 4 * k), lanes)
            reached = build.icmp_signed(">=", key, boundary)
            count = build.sub(count, build.sext(reached, count.type))
        return count

    def _key(self, x: Value) -> Value:
        """See `keys_of`."""
        build, kind = self.code.build, vector(WORD, x.type.count)
        bits = build.bitcast(x, kind)
        sign = build.ashr(bits, splat(WORD, kind.count, 31))
        return build.xor(bits, build.and_(sign, splat(WORD, kind.count, 0x7FFFFFFF)))

    def _search(self, x: Value) -> Value:
        """For one real, as int32."""
        build, step = self.code.build, self.step
        first, last = ir.Constant(WORD, 0), ir.Constant(WORD, step.count)
        key = build.extract_element(self._key(x), first)
        if step.guess is not None:
            ends = (*step.guess, 0.0, float(step.count - 1))
            slope, shift, zero, most = (ir.Constant(FLOAT, end) for end in ends)
            real = build.extract_element(x, first)
            guess = build.fadd(build.fmul(real, slope), shift)
            guess = build.select(build.fcmp_ordered(">", guess, zero), guess, zero)
            guess = build.select(build.fcmp_ordered("<", guess, most), guess, most)
            place = build.fptosi(guess, WORD)
            reached = build.icmp_signed(">=", key, self._boundary(place))
            return build.add(place, build.zext(reached, WORD))
        place = first
        half = (1 << step.count.bit_length()) // 2
        while half:
            # The place half further on is taken if its boundary exists and is reached.
            next_place = build.add(place, ir.Constant(WORD, half))
            exists = build.icmp_signed("<=", next_place, last)
            index = build.select(exists, next_place, last)
            boundary = self._boundary(build.sub(index, ir.Constant(WORD, 1)))
            taken = build.and_(exists, build.icmp_signed(">=", key, boundary))
            place = build.select(taken, next_place, place)
            half //= 2
        return place

    def _boundary(self, index: Value) -> Value:
        place = self.code.scaled(self.code.build.sext(index, LONG), 4)
        return self.code.load(WORD, self.table, place)


def quantize(
    boundaries: NDArray[np.float32], y: Buffer, first: int, height: int, constants: Constants
) -> Quantize:
    """The step that writes `y`."""
    exact = exact_line(boundaries) if len(boundaries) >= _FEWEST else None
    line = boundary_line(boundaries)
    if line and line.slope[0] > _STEEPEST:
        line = None
    return Quantize(
        y=y,
        boundaries=constants.add(keys_of(boundaries)),
        count=len(boundaries),
        exact=exact,
        guess=(float(line.slope[0]), float(line.shift[0])) if line else None,
        first=first,
        height=height,
    )
