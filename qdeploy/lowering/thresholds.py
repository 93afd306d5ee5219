# SPDX-License-Identifier: Apache-2.0
"""A quantizer behind an affine function becomes integer thresholds, decided in rationals.

Theorem: the quantizer reaches code k where v/s + z lies above (or on) a boundary b(k) given by its
rounding rule. With v = a·x + c and a > 0 that is x >= (s·(b(k) - z) - c)/a, so for integers x the
threshold is the ceiling of the right side (one more if it is an integer and the boundary is
excluded). For a < 0 the comparison turns around and the count is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import InputQuantizer, Integers, ValueRange

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Boundary:
    """Lower end of the interval that gives a code; `included` tells whether it belongs to it."""

    value: Fraction
    included: bool


def _half_even(k: int) -> Boundary:
    return Boundary(k - HALF, k % 2 == 0)


def _toward_zero(k: int) -> Boundary:
    return Boundary(Fraction(k), True) if k > 0 else Boundary(Fraction(k - 1), False)


def _away_from_zero(k: int) -> Boundary:
    return Boundary(Fraction(k - 1), False) if k > 0 else Boundary(Fraction(k), True)


def _half_up(k: int) -> Boundary:
    return Boundary(k - HALF, k > 0)


def _half_down(k: int) -> Boundary:
    return Boundary(k - HALF, k <= 0)


# Rounding modes of the QONNX operator Quant: smallest u that rounds to k or more.
ROUNDING: dict[str, Callable[[int], Boundary]] = {
    "ROUND": _half_even,
    "HALF_EVEN": _half_even,
    "CEIL": lambda k: Boundary(Fraction(k - 1), False),
    "FLOOR": lambda k: Boundary(Fraction(k), True),
    "UP": _away_from_zero,
    "DOWN": _toward_zero,
    "ROUND_TO_ZERO": _toward_zero,
    "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}


@dataclass(frozen=True)
class Quantizer:
    """Codes low, low + step, ..., high; `boundaries[j]` leads to the code low + step · (j + 1).

    Boundaries are in real units; `scale` is the real distance of codes that differ by 1.
    """

    low: int
    step: int
    scale: Fraction
    boundaries: tuple[Boundary, ...]

    @property
    def range(self) -> ValueRange:
        """All codes."""
        return ValueRange(self.low, self.low + self.step * len(self.boundaries))

    def after_relu(self) -> Quantizer:
        """The same quantizer fed by max(0, v): boundaries that 0 reaches are always reached."""
        return Quantizer(
            self.low,
            self.step,
            self.scale,
            tuple(
                Boundary(Fraction(-(1 << 200)), True)
                if b.value < 0 or (b.value == 0 and b.included)
                else b
                for b in self.boundaries
            ),
        )


def uniform(
    bits: int, signed: bool, narrow: bool, scale: Fraction, zero_point: int, rounding: str
) -> Quantizer:
    """The QONNX operator Quant; codes are counted from the zero point."""
    if signed:
        low, high = -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    else:
        low, high = 0, (1 << bits) - 1 - narrow
    boundary = ROUNDING[rounding]
    boundaries = []
    for k in range(low + 1, high + 1):
        b = boundary(k)
        boundaries.append(Boundary((b.value - zero_point) * scale, b.included))
    return Quantizer(low - zero_point, 1, scale, tuple(boundaries))


def bipolar(scale: Fraction) -> Quantizer:
    """The QONNX operator BipolarQuant: -1 below zero, else +1."""
    return Quantizer(-1, 2, scale, (Boundary(Fraction(0), True),))


def integer_thresholds(
    quantizer: Quantizer,
    scale: tuple[Fraction, ...],
    offset: tuple[Fraction, ...],
    x: ValueRange,
) -> tuple[Integers, Integers, Integers]:
    """Thresholds on integers x in the given range, for values scale · x + offset.

    Returns:
        thresholds int64 [C or 1, T] ascending, base int64 [C or 1], step int64 [C or 1].
    """
    channels = max(len(scale), len(offset))
    rows = [
        _row(quantizer, scale[c % len(scale)], offset[c % len(offset)], x) for c in range(channels)
    ]
    steps = len(quantizer.boundaries)
    falling = np.array([a < 0 for a in (scale * channels)[:channels]])
    step = np.where(falling, -quantizer.step, quantizer.step).astype(np.int64)
    base = np.where(falling, quantizer.range.high, quantizer.low).astype(np.int64)
    thresholds = np.array(rows, np.int64).reshape(channels, steps)
    if (thresholds == thresholds[0]).all():
        thresholds = thresholds[:1]
    if (step == step[0]).all():
        step, base = step[:1], base[:1]
    return thresholds, base, step


def _row(quantizer: Quantizer, a: Fraction, c: Fraction, x: ValueRange) -> list[int]:
    if a == 0:
        return [x.low if _reached(b, c) else x.high + 1 for b in quantizer.boundaries]
    row = []
    for boundary in quantizer.boundaries:
        edge = (boundary.value - c) / a
        if a > 0:
            first = math.ceil(edge) if boundary.included else math.floor(edge) + 1
        else:
            # x <= last reaches the code: everything from last + 1 on does not.
            last = math.floor(edge) if boundary.included else math.ceil(edge) - 1
            first = last + 1
        row.append(min(max(first, x.low), x.high + 1))
    return sorted(row)


def _reached(boundary: Boundary, value: Fraction) -> bool:
    return value > boundary.value or (boundary.included and value == boundary.value)


def input_quantizer(quantizer: Quantizer, scale: Fraction, offset: Fraction) -> InputQuantizer:
    """The quantizer on real inputs x seen as scale · x + offset, scale > 0."""
    boundaries = [
        _smallest_float(Boundary((b.value - offset) / scale, b.included))
        for b in quantizer.boundaries
    ]
    return InputQuantizer(np.array(boundaries, np.float32), quantizer.low, quantizer.step)


def _smallest_float(boundary: Boundary) -> np.float32:
    """The smallest float32 that reaches `boundary`."""
    with np.errstate(over="ignore"):
        guess: np.float32 = np.float32(float(boundary.value))
    infinity: NDArray[np.float32] = np.array([np.inf], np.float32)
    while np.isfinite(guess) and _reached(boundary, Fraction(float(guess))):
        guess = np.nextafter(guess, -infinity[0])
    while np.isfinite(guess) and not _reached(boundary, Fraction(float(guess))):
        guess = np.nextafter(guess, infinity[0])
    return guess
