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
        columns = np.flatnonzero(~certain[row])
        place = quantizers[row].positions[columns]
        largest = max(abs(factor) * max(1, *map(abs, place)) + abs(shift), denominator)
        dtype = np.int64 if largest < 1 << 62 else object
        numerators = factor * place.astype(dtype) + shift
        on_it = (numerators % denominator == 0) & (included[row, columns] == rising[row])
        behind = numerators // denominator + 1 - on_it
        first[row, columns] = np.clip(behind, x.low, x.high + 1).astype(np.int64)
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
    boundaries = _input_boundaries(quantizer, scale, offset)
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


def _input_boundaries(
    quantizer: Quantizer, scale: Fraction, offset: Fraction
) -> NDArray[np.float32]:
    """The smallest float32 behind each boundary; where the scale is negative, not to reach it.

    As in `_first_integers`, floats decide where no float32 lies within the error of the boundary,
    and where there is no error because factor, shift and results have few digits.
    """
    factor, shift = quantizer.unit / scale, -offset / scale
    slope, intercept = nearest_float(factor), nearest_float(shift)
    reached = quantizer.included == (scale > 0)
    with np.errstate(all="ignore"):
        product = slope * quantizer.float_positions
        edge = product + intercept
        error = 2.0**-50 * (np.abs(product) + abs(intercept))
        if slope == factor and intercept == shift:
            exact = (edge - product == intercept) & (edge - intercept == product)
            exact &= np.abs(quantizer.float_positions) * abs(factor.numerator) < 2.0**53
            error[exact] = 0
        nearest = edge.astype(np.float32)
        beyond = (nearest < edge) | ((nearest == edge) & ~reached)
        first = np.where(beyond, np.nextafter(nearest, np.float32(np.inf)), nearest)
        before = np.nextafter(first, np.float32(-np.inf))
        certain = ((first > edge + error) & (before < edge - error)) | (error == 0)
        certain &= np.isfinite(nearest)
    for index in np.flatnonzero(~certain):
        value = factor * quantizer.positions[index] + shift
        first[index] = _smallest_float(Boundary(value, bool(reached[index])))
    return first


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
