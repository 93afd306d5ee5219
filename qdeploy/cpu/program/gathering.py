# SPDX-License-Identifier: Apache-2.0
"""Integers one by one: moved by a table of places, or their largest found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import read
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.integer import Integers


@dataclass(frozen=True)
class Gather:
    """Every integer of the output is some integer of the input.

    Attributes:
        layer: name in the network.
        x, y: levels of one to a byte on the same lattice, or both int32.
        places: offset in the constants of int32 [rows, columns, channels]: bytes from `x`.
    """

    layer: str
    x: Buffer
    y: Buffer
    places: int

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        return "integers one by one, by a table of places"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """Integers that are moved."""
        return self.y.height * self.y.width * self.y.channels

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """gather(constants, arena, images, first row, end of rows)."""
        code = Code(module, f"gather_{self.layer}", [POINTER, POINTER, LONG, LONG, LONG])
        constants, arena, images, first, end = code.arguments
        y, kind = self.y, _element(self.y)
        count = y.width * y.channels
        with code.loop(images) as image, code.loop(end, first) as row:
            source = code.at(arena, code.scaled(image, image_bytes, self.x.at()))
            target_row = code.at(arena, code.scaled(image, image_bytes, y.at()))
            target_row = code.at(target_row, code.scaled(row, y.row_bytes))
            with code.loop(count) as index:
                place = code.scaled(code.scaled(row, count, index), 4, self.places)
                offset = code.build.zext(code.load(WORD, constants, place), LONG)
                value = code.load(kind, source, offset)
                code.store(value, target_row, code.scaled(index, kind.width // 8))
        code.end()
        return code.function


def gather(layer: str, x: Buffer, y: Buffer, sources: Integers, constants: Constants) -> Gather:
    """The step for `sources` [C, H, W]: the place in [C, H, W] of `x` of every output."""
    size = _element(x).width // 8
    # Of a vector, since NumPy is wrong beyond 8,192 indices [..., 1] (numpy/numpy#31980).
    channel, row, column = np.unravel_index(sources.ravel(), (x.channels, x.height, x.width))
    places = row * x.row_bytes + column * x.pixel_bytes + channel * size
    table = constants.add(places.reshape(sources.shape).transpose(1, 2, 0).astype(np.int32))
    return Gather(layer, x, y, table)


@dataclass(frozen=True)
class Largest:
    """Indices of the largest channels of every pixel, the first of equals first.

    Attributes:
        layer: name in the network.
        x, y: levels of one to a byte, or int32; `y` has a channel for each index.
    """

    layer: str
    x: Buffer
    y: Buffer

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        return "comparisons one by one"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """Comparisons."""
        return self.y.height * self.y.width * self.x.channels * self.y.channels

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """largest(constants, arena, images, first row, end of rows)."""
        code = Code(module, f"largest_{self.layer}", [POINTER, POINTER, LONG, LONG, LONG])
        _, arena, images, first, end = code.arguments
        with code.loop(images) as image, code.loop(end, first) as row:
            base = code.at(arena, code.scaled(image, image_bytes))
            with code.loop(self.y.width) as column:
                source, written = (
                    code.at(
                        code.at(base, code.scaled(row, buffer.row_bytes, buffer.at())),
                        code.scaled(column, buffer.pixel_bytes),
                    )
                    for buffer in (self.x, self.y)
                )
                self._pixel(code, source, written)
        code.end()
        return code.function

    def _pixel(self, code: Code, source: Value, written: Value) -> None:
        """Each time the largest of those behind the last one found, by value, then by index."""
        build, x = code.build, self.x
        kind = _element(self.y)
        last = code.variable(LONG, code.long(-1))
        with code.loop(self.y.channels) as place:
            none = build.icmp_signed("<", last.get(), code.long(0))
            bound = read(code, x, source, build.select(none, code.long(0), last.get()))
            best = code.variable(LONG, code.long(-1))
            value = code.variable(WORD, ir.Constant(WORD, 0))
            with code.loop(x.channels) as channel:
                here = read(code, x, source, channel)
                equal = build.icmp_signed("==", here, bound)
                after = build.and_(equal, build.icmp_signed(">", channel, last.get()))
                behind = build.or_(build.icmp_signed("<", here, bound), after)
                first = build.icmp_signed("<", best.get(), code.long(0))
                larger = build.or_(first, build.icmp_signed(">", here, value.get()))
                taken = build.and_(build.or_(none, behind), larger)
                best.set(build.select(taken, channel, best.get()))
                value.set(build.select(taken, here, value.get()))
            last.set(best.get())
            code.store(build.trunc(best.get(), kind), written, code.scaled(place, kind.width // 8))


def _element(buffer: Buffer) -> ir.IntType:
    """Type of a channel in memory."""
    return BYTE if isinstance(buffer.layout, Levels) else WORD
