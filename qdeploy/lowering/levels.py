# SPDX-License-Identifier: Apache-2.0
"""Quantizers as data: their codes, what these mean, and the boundaries between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import ROUNDED_QUOTIENT, Integers, ValueRange

# A first level that is no multiple of the distance between levels becomes one of a fraction of it,
# down to this; beyond, it stays an offset.
MAXIMUM_STEP = 16
# The boundaries of a quantizer are listed one by one.
LISTED_BITS = 18

Ends = tuple[Integers, NDArray[np.bool_]]
Rounding = Callable[[Integers], Ends]


@dataclass(frozen=True)
class Boundary:
    """Lower end of the interval that gives a code; `included` tells whether it belongs to it."""

    value: Fraction
    included: bool

    def reached_by(self, value: Fraction) -> bool:
        """Whether `value` lies in the interval."""
        return value > self.value or (self.included and value == self.value)


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Codes low, low + step, ...; code c means scale · c + offset.

    Attributes:
        low: the lowest code.
        step: distance of neighbouring codes.
        scale, offset: what the codes mean, exactly.
        unit: the boundaries are multiples of it.
        positions: Python ints [T], not descending: boundary j, unit · positions[j], leads to the
            code low + step · (j + 1).
        included: bool [T]: whether the boundary itself gets that code.
    """

    low: int
    step: int
    scale: Fraction
    unit: Fraction
    positions: NDArray[np.object_]
    included: NDArray[np.bool_]
    offset: Fraction = Fraction(0)

    @property
    def range(self) -> ValueRange:
        """All codes."""
        return ValueRange(self.low, self.low + self.step * len(self.positions))

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """The boundaries in real units."""
        return tuple(
            Boundary(self.unit * position, bool(included))
            for position, included in zip(self.positions, self.included, strict=True)
        )

    @cached_property
    def float_positions(self) -> NDArray[np.float64]:
        """The positions, each rounded to the nearest float64 (infinite beyond its range)."""
        return np.array([nearest_float(position) for position in self.positions])

    def with_boundaries(self, boundaries: Sequence[Boundary]) -> Quantizer:
        """The same codes with other boundaries, as many."""
        unit = Fraction(1, math.lcm(*(b.value.denominator for b in boundaries)))
        return replace(
            self,
            unit=unit,
            positions=_integers([int(b.value / unit) for b in boundaries]),
            included=np.array([b.included for b in boundaries], bool),
        )


@dataclass(frozen=True)
class WideQuantizer:
    """A quantizer with more codes than thresholds should be listed for.

    Attributes:
        codes: all of them.
        unit, zero_point: the value v gets the code round(v / unit + zero_point), clipped.
        rounding: a name in `ROUNDED_QUOTIENT`.
        scale, offset: code k means scale · k + offset.
    """

    codes: ValueRange
    unit: Fraction
    zero_point: Fraction
    rounding: str
    scale: Fraction
    offset: Fraction

    @property
    def range(self) -> ValueRange:
        """All codes."""
        return self.codes

    def rounded(self, argument: Fraction) -> int:
        """`argument`, which is v / unit + zero_point, to an integer."""
        return int(ROUNDED_QUOTIENT[self.rounding](argument.numerator, argument.denominator))

    def code(self, value: Fraction) -> int:
        """The code of `value`."""
        code = self.rounded(value / self.unit + self.zero_point)
        return min(max(code, self.codes.low), self.codes.high)

    def levels(self) -> Quantizer:
        """The same, as codes that are counted from the zero point, with their boundaries."""
        codes = np.arange(self.codes.low + 1, self.codes.high + 1)
        halves, included = ROUNDING[self.rounding](codes)
        plain = rounded(self.codes, halves, included, self.unit, self.zero_point)
        ratio = self.scale / self.unit
        offset = ratio * plain.offset + self.scale * self.zero_point + self.offset
        return replace(plain, scale=ratio * plain.scale, offset=offset)


def levels(first: Fraction, distance: Fraction, count: int) -> Quantizer:
    """`count` levels first, first + distance, ... without boundaries yet (all are 0)."""
    ratio = first / distance
    if ratio.denominator > MAXIMUM_STEP:
        low, step, scale, offset = 0, 1, distance, first
    else:
        step = ratio.denominator
        low, scale, offset = ratio.numerator, distance / step, Fraction(0)
    nothing = _integers([0] * (count - 1))
    return Quantizer(low, step, scale, Fraction(1), nothing, np.zeros(count - 1, bool), offset)


def uniform(
    bits: int,
    signed: bool,
    narrow: bool,
    scale: Fraction,
    zero_point: Fraction | int,
    rounding: str,
) -> Quantizer:
    """The QONNX operator Quant; codes are counted from the zero point.

    With one signed bit it is bipolar, as in the public executor: -1 and 1, divided at 0.
    """
    if bits == 1 and signed:
        return bipolar(scale, zero_point)
    codes = code_range(bits, signed, narrow)
    halves, included = ROUNDING[rounding](np.arange(codes.low + 1, codes.high + 1))
    return rounded(codes, halves, included, scale, zero_point)


def rounded(
    codes: ValueRange,
    halves: Integers,
    included: NDArray[np.bool_],
    scale: Fraction,
    zero_point: Fraction | int = 0,
) -> Quantizer:
    """Codes low..high, of v / scale + zero_point, that begin at halves / 2 each."""
    zero = Fraction(zero_point)
    plain = levels((codes.low - zero) * scale, scale, codes.high - codes.low + 1)
    positions = halves.astype(object) * zero.denominator - 2 * zero.numerator
    unit = scale / (2 * zero.denominator)
    return replace(plain, unit=unit, positions=positions, included=included)


def bipolar(scale: Fraction, zero_point: Fraction | int = 0) -> Quantizer:
    """The QONNX operator BipolarQuant: -1 below zero, else +1."""
    zero = Fraction(zero_point)
    plain = levels((-1 - zero) * scale, 2 * scale, 2)
    return plain.with_boundaries([Boundary(-zero * scale, True)])


def code_range(bits: int, signed: bool, narrow: bool) -> ValueRange:
    """The codes of Quant before the zero point is subtracted."""
    if signed:
        return ValueRange(-(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1)
    return ValueRange(0, (1 << bits) - 1 - narrow)


def nearest_float(value: Fraction | int) -> float:
    """The nearest float64, infinite beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _integers(values: list[int]) -> NDArray[np.object_]:
    result = np.empty(len(values), object)
    result[:] = values
    return result


# Rounding modes: where u must lie to round to k or more, as (2 · boundary, included).


def sign(k: Integers) -> Ends:
    """No rounding but the sign: 1 from 0 on, else 0."""
    return np.zeros(k.shape, np.int64), np.ones(k.shape, bool)


def half_even(k: Integers) -> Ends:
    """Nearest, ties to even."""
    return 2 * k - 1, k % 2 == 0


def _half_up(k: Integers) -> Ends:
    return 2 * k - 1, k > 0


def _half_down(k: Integers) -> Ends:
    return 2 * k - 1, k <= 0


def _ceil(k: Integers) -> Ends:
    return 2 * k - 2, np.zeros(k.shape, bool)


def _floor(k: Integers) -> Ends:
    return 2 * k, np.ones(k.shape, bool)


def _toward_zero(k: Integers) -> Ends:
    return np.where(k > 0, 2 * k, 2 * k - 2), k > 0


def _away_from_zero(k: Integers) -> Ends:
    return np.where(k > 0, 2 * k - 2, 2 * k), k <= 0


# The names that QONNX knows, and ROUND_TO_ZERO of older files.
SYNONYMS = {"ROUND": "HALF_EVEN", "ROUND_TO_ZERO": "DOWN"}
ROUNDING: dict[str, Rounding] = {
    "ROUND": half_even,
    "HALF_EVEN": half_even,
    "CEIL": _ceil,
    "FLOOR": _floor,
    "UP": _away_from_zero,
    "DOWN": _toward_zero,
    "ROUND_TO_ZERO": _toward_zero,
    "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}
