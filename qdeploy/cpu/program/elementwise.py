# SPDX-License-Identifier: Apache-2.0
"""Quantizers of many codes: integers one by one, by a rounded quotient or a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import BIT, BYTE, DOUBLE, LONG, POINTER, WORD, Code, Value
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import read
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.integer import Quotient, Threshold, ValueRange

_WORK = 16  # of an integer, in multiplications


class Function(Protocol):
    """From an integer to another one."""

    @property
    def description(self) -> str:
        """For people."""

    def emit(self, code: Code, constants: Value, channel: Value, x: Value) -> Value:
        """The value, int64, of `x`, int64, in a channel."""


@dataclass(frozen=True)
class Elementwise:
    """A function of every integer.

    Attributes:
        layer: name in the network.
        x, y: levels of one to a byte, or int32.
        function: which one.
    """

    layer: str
    x: Buffer
    y: Buffer
    function: Function

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        return f"integers one by one, {self.function.description}"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """In multiplications."""
        return _WORK * self.y.height * self.y.width * self.y.channels

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """elementwise(constants, arena, images, first row, end of rows)."""
        code = Code(module, f"elementwise_{self.layer}", [POINTER, POINTER, LONG, LONG, LONG])
        constants, arena, images, first, end = code.arguments
        with code.loop(images) as image, code.loop(end, first) as row:
            base = code.at(arena, code.scaled(image, image_bytes))
            with code.loop(self.y.width) as column, code.loop(self.y.channels) as channel:
                source, written = (
                    code.at(
                        code.at(base, code.scaled(row, buffer.row_bytes, buffer.at())),
                        code.scaled(column, buffer.pixel_bytes),
                    )
                    for buffer in (self.x, self.y)
                )
                x = code.build.sext(read(code, self.x, source, channel), LONG)
                self._store(code, self.function.emit(code, constants, channel, x), written, channel)
        code.end()
        return code.function

    def _store(self, code: Code, value: Value, written: Value, channel: Value) -> None:
        layout = self.y.layout
        if isinstance(layout, Levels):
            assert layout.lattice.step == 1
            level = code.build.sub(value, code.long(layout.lattice.low))
            code.store(code.build.trunc(level, BYTE), written, channel)
        else:
            code.store(code.build.trunc(value, WORD), written, code.scaled(channel, 4))


@dataclass(frozen=True)
class Divide:
    """A rounded quotient, see `qdeploy.integer.Quotient`.

    The float64 quotient of numerator and divisor, clipped to 32 bits, is less than one away from
    the exact one: its floor is one off at most, which the remainder tells.

    Attributes:
        table: offset of int64 rows of multiplier, addend, divisor, low and high.
        reals: offset of the divisors in float64.
        count: of channels, or 1.
        rounding: its rule.
    """

    table: int
    reals: int
    count: int
    rounding: str

    @property
    def description(self) -> str:
        """For people."""
        return "rounded quotients"

    @classmethod
    def of(cls, quotient: Quotient, y: ValueRange, constants: Constants) -> Divide:
        """With its constants among those of a program; `y` holds the quotients."""
        rows = np.stack(
            np.broadcast_arrays(
                quotient.multiplier,
                quotient.addend,
                quotient.divisor,
                np.clip(quotient.low, y.low, y.high),
                np.clip(quotient.high, y.low, y.high),
            )
        )
        reals = constants.add(rows[2].astype(np.float64))
        return cls(constants.add(rows), reals, rows.shape[1], quotient.rounding)

    def emit(self, code: Code, constants: Value, channel: Value, x: Value) -> Value:
        """See `Function`."""
        build, one = code.build, code.long(1)
        place = channel if self.count > 1 else code.long(0)
        multiplier, addend, divisor, low, high = (
            code.load(LONG, constants, code.scaled(place, 8, self.table + 8 * row * self.count))
            for row in range(5)
        )
        n = build.add(build.mul(x, multiplier), addend)
        real = build.fdiv(
            _real(code, n), code.load(DOUBLE, constants, code.scaled(place, 8, self.reals))
        )
        least, most = (_real(code, end) for end in (build.sub(low, one), build.add(high, one)))
        real = build.select(build.fcmp_ordered("<", real, least), least, real)
        real = build.select(build.fcmp_ordered(">", real, most), most, real)
        whole = build.fptosi(real, WORD)
        above = build.fcmp_ordered(">", build.sitofp(whole, DOUBLE), real)
        floor = build.sub(build.sext(whole, LONG), build.zext(above, LONG))
        rest = build.sub(n, build.mul(floor, divisor))
        negative = build.icmp_signed("<", rest, code.long(0))
        floor = build.sub(floor, build.zext(negative, LONG))
        rest = build.select(negative, build.add(rest, divisor), rest)
        larger = build.icmp_signed(">=", rest, divisor)
        floor = build.add(floor, build.zext(larger, LONG))
        rest = build.select(larger, build.sub(rest, divisor), rest)
        up = _ROUNDS_UP[self.rounding](code, n, floor, rest, divisor)
        value = build.add(floor, build.zext(up, LONG))
        value = build.select(build.icmp_signed("<", value, low), low, value)
        return build.select(build.icmp_signed(">", value, high), high, value)


@dataclass(frozen=True)
class Search:
    """Thresholds of many levels, by halving.

    Attributes:
        table: offset of int64 thresholds [C or 1, T].
        rows: of them.
        count: T.
        affine: offset of int64 base and step [2, C].
        channels: C.
    """

    table: int
    rows: int
    count: int
    affine: int
    channels: int

    @property
    def description(self) -> str:
        """For people."""
        return f"{self.count} thresholds by halving"

    @classmethod
    def of(cls, node: Threshold, channels: int, x: ValueRange, constants: Constants) -> Search:
        """With its constants among those of a program."""
        thresholds = np.clip(node.thresholds, x.low, x.high + 1)
        rows, count = thresholds.shape
        affine = np.stack([np.broadcast_to(row, (channels,)) for row in (node.base, node.step)])
        return cls(constants.add(thresholds), rows, count, constants.add(affine), channels)

    def emit(self, code: Code, constants: Value, channel: Value, x: Value) -> Value:
        """See `Function`."""
        build, place = code.build, code.long(0)
        row = channel if self.rows > 1 else code.long(0)
        table = code.at(constants, code.scaled(row, 8 * self.count, self.table))
        half = (1 << self.count.bit_length()) // 2
        while half:
            # The place half further on is taken if its threshold exists and is reached.
            following = build.add(place, code.long(half))
            exists = build.icmp_signed("<=", following, code.long(self.count))
            index = build.select(exists, following, code.long(self.count))
            threshold = code.load(LONG, table, code.scaled(index, 8, -8))
            taken = build.and_(exists, build.icmp_signed(">=", x, threshold))
            place = build.select(taken, following, place)
            half //= 2
        base, step = (
            code.load(LONG, constants, code.scaled(channel, 8, self.affine + 8 * part))
            for part in (0, self.channels)
        )
        return build.add(base, build.mul(step, place))


def _real(code: Code, n: Value) -> Value:
    """An int64 in float64, without the library that 32-bit processors need for it."""
    build = code.build
    high = build.sitofp(build.trunc(build.ashr(n, code.long(32)), WORD), DOUBLE)
    low = build.uitofp(build.trunc(n, WORD), DOUBLE)
    return build.fadd(build.fmul(high, ir.Constant(DOUBLE, 2.0**32)), low)


def _directed(comparison: str) -> Callable[[Code, Value, Value, Value, Value], Value]:
    """Up where the numerator compares so with 0 and there is a rest."""

    def up(code: Code, n: Value, _floor: Value, rest: Value, _divisor: Value) -> Value:
        some = code.build.icmp_signed("!=", rest, code.long(0))
        return code.build.and_(some, code.build.icmp_signed(comparison, n, code.long(0)))

    return up


def _nearest(
    ties: Callable[[Code, Value, Value], Value],
) -> Callable[[Code, Value, Value, Value, Value], Value]:
    """Up beyond the half, and at it where `ties` of numerator and floor says so."""

    def up(code: Code, n: Value, floor: Value, rest: Value, divisor: Value) -> Value:
        build, twice = code.build, code.build.add(rest, rest)
        tie = build.and_(build.icmp_signed("==", twice, divisor), ties(code, n, floor))
        return build.or_(build.icmp_signed(">", twice, divisor), tie)

    return up


_ROUNDS_UP: dict[str, Callable[[Code, Value, Value, Value, Value], Value]] = {
    "FLOOR": lambda code, n, floor, rest, divisor: ir.Constant(BIT, 0),
    "CEIL": lambda code, n, floor, rest, divisor: code.build.icmp_signed("!=", rest, code.long(0)),
    "DOWN": _directed("<"),
    "UP": _directed(">"),
    "HALF_EVEN": _nearest(lambda code, n, floor: code.build.trunc(floor, BIT)),
    "HALF_UP": _nearest(lambda code, n, floor: code.build.icmp_signed(">", n, code.long(0))),
    "HALF_DOWN": _nearest(lambda code, n, floor: code.build.icmp_signed("<", n, code.long(0))),
}
