# SPDX-License-Identifier: Apache-2.0
"""Sums over windows and branches, channel by channel.

These are depthwise convolutions, average pools, additions, thresholds alone, and what moves pixels.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import (
    BYTE,
    LONG,
    POINTER,
    SHORT,
    WORD,
    Code,
    Value,
    Variable,
    splat,
    vector,
)
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.constants import SLACK
from qdeploy.cpu.program.finishing import Finish, emit_finish
from qdeploy.cpu.program.layouts import Buffer, Levels

_LANES = SLACK // 4


@dataclass(frozen=True)
class Term:
    """Windows of a buffer, times factors.

    Attributes:
        x: levels of one to a byte, or int32.
        channel: the first one.
        origin: row and column of the first window's first pixel; negative in the border.
        strides: from window to window, vertical and horizontal.
        repeats: how many neighbouring outputs read the same window.
        kernel: rows and columns of a window.
        dilations: between them.
        factors: one number, or the offset of a table [KH·KW, channels of whole tiles] in the type
            of the sums.
        tabled: whether it is that offset.
    """

    x: Buffer
    channel: int = 0
    origin: tuple[int, int] = (0, 0)
    strides: tuple[int, int] = (1, 1)
    repeats: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    factors: int = 1
    tabled: bool = False

    @property
    def element(self) -> ir.IntType:
        """Type of a channel in memory."""
        return BYTE if isinstance(self.x.layout, Levels) else WORD


@dataclass(frozen=True)
class Channelwise:
    """A planned step: the sum of the terms, finished.

    Attributes:
        name: of the function.
        layer: name in the network.
        terms: the sum.
        y: what is written.
        channel: first channel in `y`.
        channels: that are written.
        lanes: channels at once.
        short: whether sums are computed modulo 2^16, else 2^32.
        finish: what becomes of the sums.
    """

    name: str
    layer: str
    terms: tuple[Term, ...]
    y: Buffer
    channel: int
    channels: int
    lanes: int
    short: bool
    finish: Finish

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        what = "sums" if len(self.terms) > 1 or max(self.terms[0].kernel) > 1 else "integers"
        return f"{what} channel by channel, {self.lanes} at once"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """Products."""
        each = sum(term.kernel[0] * term.kernel[1] for term in self.terms)
        return self.y.height * self.y.width * self.channels * each

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """step(constants, arena, images, first row, end of rows)."""
        code = Code(module, f"channels_{self.name}", [POINTER, POINTER, LONG, LONG, LONG])
        _Writer(self, code).write(image_bytes)
        return code.function


def lanes_for(channels: int, target: Target) -> int:
    """Channels at once: a register of bytes, or less for few channels."""
    return min(_LANES, target.vector_bytes, max(16, 1 << (channels - 1).bit_length()))


def sums_of(lanes: int) -> Sums:
    """Layout of the sums that are finished."""
    return Sums(1, lanes, short=False)


class _Writer:
    def __init__(self, step: Channelwise, code: Code) -> None:
        self.step, self.code = step, code
        self.constants, self.arena, self.images, self.first, self.end = code.arguments
        self.kind = vector(SHORT if step.short else WORD, step.lanes)
        self.sums = code.memory(4 * step.lanes, align=64)

    def write(self, image_bytes: int) -> None:
        code, y, lanes = self.code, self.step.y, self.step.lanes
        whole, rest = divmod(self.step.channels, lanes)
        with code.loop(self.images) as image, code.loop(self.end, self.first) as row:
            base = code.at(self.arena, code.scaled(image, image_bytes))
            with code.loop(y.width) as column:
                windows = [self._window(term, base, row, column) for term in self.step.terms]
                pixel = code.at(base, code.scaled(row, y.row_bytes, y.at()))
                pixel = code.at(pixel, code.scaled(column, y.pixel_bytes))
                with code.loop(whole) as tile:
                    self._tile(windows, pixel, tile, lanes)
                if rest:
                    self._tile(windows, pixel, code.long(whole), rest)
        code.end()

    def _window(self, term: Term, base: Value, row: Value, column: Value) -> Value:
        """Where the window of an output pixel begins."""
        code, x = self.code, term.x
        at = code.at(base, x.at(*term.origin) + term.channel * term.element.width // 8)
        for place, repeat, stride, size in zip(
            (row, column), term.repeats, term.strides, (x.row_bytes, x.pixel_bytes), strict=True
        ):
            if repeat > 1:
                place, _ = code.divided(place, repeat)  # noqa: PLW2901
            at = code.at(at, code.scaled(place, stride * size))
        return at

    def _tile(self, windows: list[Value], pixel: Value, tile: Value, outputs: int) -> None:
        code, step, lanes = self.code, self.step, self.step.lanes
        total = code.variable(self.kind, ir.Constant(self.kind, None))
        for term, window in zip(step.terms, windows, strict=True):
            at = code.at(window, code.scaled(tile, lanes * term.element.width // 8))
            self._add(term, at, tile, total)
        value = total.get()
        if step.short:
            value = code.build.sext(value, vector(WORD, lanes))
        code.store(value, self.sums)
        emit_finish(
            code,
            step.finish,
            sums_of(lanes),
            step.y,
            values=self.sums,
            constants=self.constants,
            pixel=pixel,
            stride=0,
            rows=1,
            channel=step.channel,
            tile=tile,
            outputs=outputs,
        )

    def _add(self, term: Term, at: Value, tile: Value, total: Variable) -> None:
        """Add the term's window to the sums of a tile."""
        code, build, x = self.code, self.code.build, term.x
        size = self.kind.element.width // 8
        whole = -(-self.step.channels // self.step.lanes) * self.step.lanes
        with ExitStack() as loops:
            row, column = (
                loops.enter_context(code.loop(count)) if count > 1 else code.long(0)
                for count in term.kernel
            )
            at = code.at(at, code.scaled(row, term.dilations[0] * x.row_bytes))
            at = code.at(at, code.scaled(column, term.dilations[1] * x.pixel_bytes))
            value = code.load(vector(term.element, self.step.lanes), at)
            if term.element is BYTE:
                value = build.zext(value, self.kind)
            if term.tabled:
                place = code.scaled(row, term.kernel[1], column)
                here = code.scaled(place, whole * size, term.factors)
                here = code.scaled(tile, self.step.lanes * size, here)
                factors = code.load(self.kind, self.constants, here)
                value = build.mul(value, factors)
            elif term.factors != 1:
                factor = splat(self.kind.element, self.step.lanes, term.factors)
                value = build.mul(value, factor)
            total.set(build.add(total.get(), value))
