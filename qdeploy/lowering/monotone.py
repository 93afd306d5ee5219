# SPDX-License-Identifier: Apache-2.0
"""Rising functions between an affine value and its quantizer: they only move its boundaries.

Theorem: for a non-decreasing f, f(v) reaches a boundary b exactly where v reaches the lower end of
{v : f(v) reaches b}. So Relu, Clip, LeakyRelu and factors behind them need no hardware. A negative
factor moves before f, as -f(v) = g(-v) with the rising function g(u) = -f(-u).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from qdeploy.lowering.levels import Boundary, Quantizer

# Boundaries that every value, or none, reaches.
ALWAYS = Boundary(Fraction(-(1 << 200)), True)
NEVER = Boundary(Fraction(1 << 200), True)


class Rising(Protocol):
    """A non-decreasing function, known by what it does to boundaries."""

    def before(self, boundary: Boundary) -> Boundary:
        """The boundary that the argument must reach for the function to reach `boundary`."""

    def mirrored(self) -> Rising:
        """The function g(u) = -f(-u)."""


# One function for the tensor, or one per index of the axis along which its scales vary.
Channelwise = tuple[Rising, ...]


@dataclass(frozen=True)
class Clip:
    """min(high, max(low, v)); None is no limit. Relu is Clip(0, None)."""

    low: Fraction | None
    high: Fraction | None

    def of(self, value: Fraction) -> Fraction:
        """The function's value."""
        if self.high is not None and value > self.high:
            value = self.high
        return self.low if self.low is not None and value < self.low else value

    def before(self, boundary: Boundary) -> Boundary:
        """See `Rising`."""
        if self.high is not None and not boundary.reached_by(self.high):
            return NEVER
        if self.low is not None and boundary.reached_by(self.low):
            return ALWAYS
        return boundary

    def mirrored(self) -> Clip:
        """See `Rising`."""
        return Clip(
            None if self.high is None else -self.high, None if self.low is None else -self.low
        )

    def keeps(self, value: Fraction) -> bool:
        """Whether `value` lies within the limits."""
        low, high = self.low, self.high
        return (low is None or low <= value) and (high is None or value <= high)


@dataclass(frozen=True)
class LeakyRelu:
    """slope · v where negative, above · v elsewhere; both > 0."""

    slope: Fraction
    above: Fraction = Fraction(1)

    def before(self, boundary: Boundary) -> Boundary:
        """See `Rising`."""
        slope = self.above if boundary.value >= 0 else self.slope
        return Boundary(boundary.value / slope, boundary.included)

    def mirrored(self) -> LeakyRelu:
        """See `Rising`."""
        return LeakyRelu(self.above, self.slope)


@dataclass(frozen=True)
class Affine:
    """factor · v + shift, factor > 0."""

    factor: Fraction
    shift: Fraction

    def of(self, value: Fraction) -> Fraction:
        """The function's value."""
        return self.factor * value + self.shift

    def before(self, boundary: Boundary) -> Boundary:
        """See `Rising`."""
        return Boundary((boundary.value - self.shift) / self.factor, boundary.included)

    def mirrored(self) -> Affine:
        """See `Rising`."""
        return Affine(self.factor, -self.shift)


def behind(quantizer: Quantizer, functions: Sequence[Rising]) -> Quantizer:
    """The quantizer on values before the functions (given first to last)."""
    if not functions:
        return quantizer
    boundaries = quantizer.boundaries
    for function in reversed(functions):
        boundaries = tuple(function.before(boundary) for boundary in boundaries)
    return quantizer.with_boundaries(boundaries)
