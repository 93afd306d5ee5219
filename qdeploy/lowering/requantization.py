# SPDX-License-Identifier: Apache-2.0
"""A quantizer of many codes behind an affine function: one quotient of integers, no thresholds.

With v = a · x + c, the quantizer's argument v / unit + zero point is slope · x + intercept, both
rational. Where its numerators over a common denominator are small (fixed-point scales), these are
the operator's integers. Else its codes begin at equal distances, as those of floor do, and
`digital_line` finds smaller integers that give the same codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qdeploy.integer import FLOAT64_NUMERATORS, INT64_NUMERATORS, Quotient, ValueRange
from qdeploy.lowering.digital_lines import digital_line
from qdeploy.lowering.levels import ROUNDING, WideQuantizer
from qdeploy.lowering.monotone import Affine, Clip
from qdeploy.lowering.values import Activation


@dataclass(frozen=True)
class _Channel:
    """The code of x is clip(rounding(slope · x + intercept), low, high)."""

    slope: Fraction
    intercept: Fraction
    low: int
    high: int
    rounding: str


@dataclass(frozen=True)
class _Row:
    """One channel of a `Quotient`."""

    multiplier: int
    addend: int
    divisor: int
    low: int
    high: int


def quotient(
    x: Activation, quantizers: Sequence[WideQuantizer], source: ValueRange
) -> Quotient | None:
    """The code of each integer of `x`, in range `source`, as an integer quotient.

    The quantizers, one or as many as `x` has scales, differ in scale and zero point only.

    Returns:
        None if no int64 arithmetic decides exactly, or a function other than Clip precedes.
    """
    count = max(len(quantizers), x.channels)
    channels = [_channel(x, c, quantizers[c % len(quantizers)], source) for c in range(count)]
    known = [channel for channel in channels if channel is not None]
    if len(known) < count:
        return None
    magnitude = max(abs(source.low), abs(source.high))
    exact = _quotient([_common_denominator(channel) for channel in known], known[0].rounding)
    if exact is not None and exact.numerator_bound(magnitude) < FLOAT64_NUMERATORS:
        return exact
    lines = [_line(channel, source) for channel in known]
    found = [line for line in lines if line is not None]
    smaller = _quotient(found, "FLOOR") if len(found) == count else None
    fits = smaller is not None and smaller.numerator_bound(magnitude) < INT64_NUMERATORS
    return smaller if fits else None


def _channel(
    x: Activation, index: int, quantizer: WideQuantizer, source: ValueRange
) -> _Channel | None:
    """Channel `index` of `x` up to its code; None behind other functions than Clip."""
    slope, intercept = x.scale[index % len(x.scale)], x.offset[index % len(x.offset)]
    low: Fraction | None = None
    high: Fraction | None = None
    for function in x.functions_of(index):
        if isinstance(function, Affine):
            slope, intercept = slope * function.factor, function.of(intercept)
        elif isinstance(function, Clip):
            low = function.low if low is None else low
            high = function.high if high is None else high
        else:
            return None
        low, high = (None if end is None else function.of(end) for end in (low, high))
    least = quantizer.codes.low if low is None else quantizer.code(low)
    most = quantizer.codes.high if high is None else quantizer.code(high)
    slope, intercept = slope / quantizer.unit, intercept / quantizer.unit + quantizer.zero_point
    ends = [quantizer.rounded(slope * end + intercept) for end in (source.low, source.high)]
    first, last = (min(max(end, least), most) for end in ends)
    if first == last:
        slope, intercept = Fraction(0), Fraction(first)
    return _Channel(slope, intercept, least, most, quantizer.rounding)


def _quotient(rows: list[_Row], rounding: str) -> Quotient | None:
    """All channels together; None if a parameter is beyond int64."""
    fields = {}
    for field in ("multiplier", "addend", "divisor", "low", "high"):
        values = [getattr(row, field) for row in rows]
        if max(map(abs, values)) >= INT64_NUMERATORS:
            return None
        fields[field] = np.array(values[:1] if len(set(values)) == 1 else values, np.int64)
    return Quotient(rounding=rounding, **fields)


def _common_denominator(channel: _Channel) -> _Row:
    divisor = math.lcm(channel.slope.denominator, channel.intercept.denominator)
    multiplier, addend = int(channel.slope * divisor), int(channel.intercept * divisor)
    return _Row(multiplier, addend, divisor, channel.low, channel.high)


def _line(channel: _Channel, source: ValueRange) -> _Row | None:
    """Integers for floor, as small as they can be; None if the codes are not those of a floor.

    Only the beginnings of the codes low + 1 to high count, and the x around them.
    """
    slope, intercept, low, high = channel.slope, channel.intercept, channel.low, channel.high
    if slope == 0:
        return _Row(0, int(intercept), 1, low, high)
    halves, _ = ROUNDING[channel.rounding](np.array([low + 1, high]))
    shift = int(halves[0]) - 2 * (low + 1)
    if int(halves[1]) - 2 * high != shift:
        return None  # the codes on both sides of zero are rounded in opposite directions
    intercept -= Fraction(shift, 2)  # now code k begins where the line reaches k
    ends = sorted([(low - intercept) / slope, (high + 1 - intercept) / slope])
    first = min(max(math.floor(ends[0]), source.low), source.high)
    last = min(max(math.ceil(ends[1]), source.low), source.high)
    hits = [slope * x + intercept for x in _integer_points(slope, intercept, first, last)]
    inside = np.array([int(code) for code in hits if low < code <= high], np.int64)
    _, included = ROUNDING[channel.rounding](inside)
    if not included.all():
        if included.any():
            return None
        intercept -= Fraction(1, 2 * slope.denominator)  # below these points, above all others
    return _Row(*digital_line(slope, intercept, first, last), low, high)


def _integer_points(slope: Fraction, intercept: Fraction, first: int, last: int) -> list[int]:
    """Those x in first..last where slope · x + intercept is an integer: two at either end.

    They stand for all others, as rounding asks for no more than the sign and parity of a code.
    """
    period = slope.denominator
    if period % intercept.denominator:
        return []
    residue = -int(intercept * period) * pow(slope.numerator, -1, period) % period
    lowest = first + (residue - first) % period
    highest = last - (last - residue) % period
    points = {lowest, lowest + period, highest - period, highest}
    return sorted(point for point in points if lowest <= point <= highest)
