# SPDX-License-Identifier: Apache-2.0
"""Maxima over windows, on levels as they are packed."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value, splat, vector
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.layouts import Buffer, Levels

_AT_ONCE = 16  # positions of a window
_CHANNELS = 32  # bytes or integers


@dataclass(frozen=True)
class MaximumPool:
    """The largest level (or integer) of each window.

    Attributes:
        name: of the layer.
        x, y: of one packing, or both int32.
        kernel, strides, dilations: vertical, horizontal.
        origin: row and column of the first window's first pixel; what lies outside never wins.
    """

    name: str
    x: Buffer
    y: Buffer
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    origin: tuple[int, int]

    @property
    def layer(self) -> str:
        """Name in the network."""
        return self.name

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        return "maxima of packed levels" if isinstance(self.x.layout, Levels) else "maxima"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """Comparisons of bytes or words."""
        windows = self.y.height * self.y.width * self.y.pixel_bytes
        return windows * self.kernel[0] * self.kernel[1]

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """pool(constants, arena, images, first row, end of rows)."""
        name = f"pool_{self.name}_{self.y.offset}"
        code = Code(module, name, [POINTER, POINTER, LONG, LONG, LONG])
        _, arena, images, first, end = code.arguments
        x, y = self.x, self.y
        with code.loop(images) as image, code.loop(end, first) as row:
            base = code.at(arena, code.scaled(image, image_bytes))
            with code.loop(y.width) as column:
                source = code.at(base, x.at(*self.origin))
                source = code.at(source, code.scaled(row, self.strides[0] * x.row_bytes))
                source = code.at(source, code.scaled(column, self.strides[1] * x.pixel_bytes))
                written = code.at(base, code.scaled(row, y.row_bytes, y.at()))
                written = code.at(written, code.scaled(column, y.pixel_bytes))
                self._pixel(code, source, written)
        code.end()
        return code.function

    def _pixel(self, code: Code, source: Value, target: Value) -> None:
        """All channels of one window position after the other, or of all of a few at once."""
        layout, rows, columns = self.x.layout, *self.kernel
        kind, size = (BYTE, 1) if isinstance(layout, Levels) else (WORD, 4)
        count = self.y.pixel_bytes // size
        down = self.dilations[0] * self.x.row_bytes
        right = self.dilations[1] * self.x.pixel_bytes
        whole, rest = divmod(count, _CHANNELS)
        if rows * columns <= _AT_ONCE:
            offsets = [
                row * down + column * right for row in range(rows) for column in range(columns)
            ]
            with code.loop(whole) as block:
                place = code.scaled(block, size * _CHANNELS)
                self._best(code, code.at(source, place), code.at(target, place), offsets, _CHANNELS)
            if rest:
                place = code.long(size * _CHANNELS * whole)
                self._best(code, code.at(source, place), code.at(target, place), offsets, rest)
            return
        with code.loop(count) as at:
            code.store(
                code.load(kind, source, code.scaled(at, size)), target, code.scaled(at, size)
            )
        one = vector(kind, 1)
        with code.loop(rows) as row, code.loop(columns) as column:
            window = code.at(source, code.scaled(row, down, code.scaled(column, right)))
            with code.loop(count) as at:
                place = code.scaled(at, size)
                best, value = code.load(one, target, place), code.load(one, window, place)
                code.store(self._larger(code, best, value), target, place)

    def _best(
        self, code: Code, source: Value, target: Value, offsets: list[int], count: int
    ) -> None:
        """`count` bytes or integers of a pixel at once."""
        kind = vector(BYTE if isinstance(self.x.layout, Levels) else WORD, count)
        best = code.load(kind, source)
        for offset in offsets[1:]:
            best = self._larger(code, best, code.load(kind, source, offset))
        code.store(best, target)

    def _larger(self, code: Code, a: Value, b: Value) -> Value:
        build, layout, lanes = code.build, self.x.layout, a.type.count
        if not isinstance(layout, Levels):
            return build.select(build.icmp_signed(">", a, b), a, b)
        packed = layout.packing
        if packed.bits == 1:
            return build.or_(a, b)
        larger = None
        for field in range(packed.fields):
            mask = splat(BYTE, lanes, ((1 << packed.bits) - 1) << packed.bits * field & 255)
            parts = [build.and_(value, mask) for value in (a, b)]
            part = build.select(build.icmp_unsigned(">", *parts), *parts)
            larger = part if larger is None else build.or_(larger, part)
        return larger
