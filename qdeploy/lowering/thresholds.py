# SPDX-License-Identifier: Apache-2.0
"""A quantizer behind an affine function becomes integer thresholds, decided in rationals.

Theorem: the quantizer reaches its code j where v lies above (or on) a boundary b(j) given by its
rounding rule. With v = a·x + c and a > 0 that is x >= (b(j) - c)/a, so for integers x the threshold
is the ceiling of the right side (one more if it is an integer and the boundary is excluded). For
a < 0 the comparison turns around and the count is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import InputQuantizer, Integers, ValueRange
from qdeploy.lowering.levels import Boundary, Quantizer, nearest_float

Channels = Sequence[Fraction]
Steps = tuple[Integers, Integers, Integers]


def integer_thresholds(
    quantizers: Sequence[Quantizer], scale: Channels, offset: Channels, x: ValueRange
) -> Steps:
    """Thresholds on integers x in the given range, for values scale · x + offset.

    Each of the three holds one entry, or one per channel; all quantizers have equally many codes.

    Returns:
        thresholds int64 [C or 1, T] ascending, base int64 [C or 1], step int64 [C or 1].
    """
    channels = max(len(quantizers), len(scale), len(offset))
    every = [quantizers[c % len(quantizers)] for c in range(channels)]
    a = [scale[c % len(scale)] for c in range(channels)]
    c = [offset[c % len(offset)] for c in range(channels)]
    edges = [
        (q.unit / slope, -shift / slope) if slope else None
        for q, slope, shift in zip(every, a, c, strict=True)
    ]
    thresholds = _first_integers(every, edges, [slope > 0 for slope in a], x)
    for row in (row for row, edge in enumerate(edges) if edge is None):
        reached = [boundary.reached_by(c[row]) for boundary in every[row].boundaries]
        thresholds[row] = np.where(reached, x.low, x.high + 1)
    return _steps(every, np.sort(thresholds, axis=1), [slope < 0 for slope in a], x.high + 1)


def _first_integers(
    quantizers: list[Quantizer],
    edges: list[tuple[Fraction, Fraction] | None],
    rising: list[bool],
    x: ValueRange,
) -> Integers:
    """Smallest x behind each edge slope · position + intercept, clipped to low..high + 1, [C, T].

    Behind means >= or > as (included, rising) says. Floats decide where they are certain:
    slope and intercept are rounded to 53 bits and two more roundings follow, so that an edge is
    off by less than 2^-50 of its two terms. The few near an integer are decided exactly.
    """
    positions = np.stack([q.float_positions for q in quantizers])
    included = np.stack([q.included for q in quantizers])
    lines = np.array([[nearest_float(v) for v in edge or (Fraction(0),) * 2] for edge in edges])
    slope, intercept = lines[:, :1], lines[:, 1:]
    with np.errstate(all="ignore"):
        edge = slope * positions + intercept
        error = 2.0**-50 * (np.abs(slope * positions) + np.abs(intercept) + 1)
        certain = np.abs(edge - np.rint(edge)) > error
        certain |= (edge + error < x.low) | (edge - error > x.high + 1)
    first: Integers = np.floor(np.clip(np.nan_to_num(edge), x.low - 2, x.high + 2)).astype(np.int64)
    first += 1
    for row in np.flatnonzero(~certain.all(axis=1)):
        line = edges[row]
        if line is None:
            continue
        denominator = math.lcm(line[0].denominator, line[1].denominator)
        factor, shift = int(line[0] * denominator), int(line[1] * denominator)
        for column in np.flatnonzero(~certain[row]):
            position = int(quantizers[row].positions[column])
            whole, rest = divmod(factor * position + shift, denominator)
            on_it = rest == 0 and bool(included[row, column]) == rising[row]
            first[row, column] = min(max(whole + 1 - on_it, x.low), x.high + 1)
    return np.clip(first, x.low, x.high + 1)


def _steps(
    quantizers: list[Quantizer], thresholds: Integers, falling: list[bool], never: int
) -> Steps:
    """Thresholds [C, T] with base and step per channel, or one for all where they are equal."""
    step = np.array(
        [-q.step if down else q.step for q, down in zip(quantizers, falling, strict=True)], np.int64
    )
    base = np.array(
        [q.range.high if down else q.low for q, down in zip(quantizers, falling, strict=True)],
        np.int64,
    )
    if thresholds.shape[1] == 0:  # a quantizer with one code
        thresholds = np.full((len(quantizers), 1), never, np.int64)
    if (thresholds == thresholds[0]).all():
        thresholds = thresholds[:1]
    if (step == step[0]).all() and (base == base[0]).all():
        step, base = step[:1], base[:1]
    return thresholds, base, step


def input_quantizer(quantizer: Quantizer, scale: Fraction, offset: Fraction) -> InputQuantizer:
    """The quantizer on real inputs x seen as scale · x + offset, scale > 0.

    Codes that no finite input gets are left out.
    """
    boundaries = np.array(_input_boundaries(quantizer, scale, offset), np.float32)
    always = int((boundaries == -np.inf).sum())
    low = quantizer.low + always * quantizer.step
    return InputQuantizer(boundaries[np.isfinite(boundaries)], low, quantizer.step)


def input_levels(
    quantizers: Sequence[Quantizer], scale: Channels, offset: Channels
) -> tuple[InputQuantizer, Steps]:
    """Quantizers that differ between channels, or fall: one input quantizer for all of them.

    Its boundaries are those of all channels together; thresholds on its codes 0, 1, 2, ... then
    single out each channel's own.
    """
    channels = max(len(quantizers), len(scale), len(offset))
    every = [quantizers[c % len(quantizers)] for c in range(channels)]
    a = [scale[c % len(scale)] for c in range(channels)]
    rows = np.array(
        [
            _input_boundaries(q, a[c], offset[c % len(offset)]) if a[c] else []
            for c, q in enumerate(every)
        ],
        np.float32,
    )
    boundaries = np.unique(rows)
    thresholds = np.sort(np.searchsorted(boundaries, rows).astype(np.int64) + 1, axis=1)
    falling = [slope < 0 for slope in a]
    return InputQuantizer(boundaries, 0), _steps(every, thresholds, falling, len(boundaries) + 1)


def _input_boundaries(quantizer: Quantizer, scale: Fraction, offset: Fraction) -> list[np.float32]:
    """The smallest float32 behind each boundary; where the scale is negative, not to reach it."""
    return [
        _smallest_float(Boundary((b.value - offset) / scale, b.included == (scale > 0)))
        for b in quantizer.boundaries
    ]


def _smallest_float(boundary: Boundary) -> np.float32:
    """The smallest float32 that reaches `boundary`."""
    with np.errstate(over="ignore"):
        guess: np.float32 = np.float32(nearest_float(boundary.value))
    infinity: NDArray[np.float32] = np.array([np.inf], np.float32)
    while np.isfinite(guess) and boundary.reached_by(Fraction(float(guess))):
        guess = np.nextafter(guess, -infinity[0])
    while np.isfinite(guess) and not boundary.reached_by(Fraction(float(guess))):
        guess = np.nextafter(guess, infinity[0])
    return guess
