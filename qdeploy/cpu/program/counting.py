# SPDX-License-Identifier: Apache-2.0
"""How the thresholds of a step are counted, and the tables for it.

Thresholds of a uniform quantizer behind an affine scale are nearly equidistant, so that a straight
line tells how many a sum reaches. That it does is proven in integers at both sides of every
threshold: the line and the number both ascend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.kernels.counting import FRACTION_BITS, Comparisons, Counting, Line
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.integer import Integers, ValueRange

_FEWEST = {True: 16, False: 8}  # thresholds for which a line is faster, by whether sums are short
_HALVINGS = 40  # of the range of slopes
_ONE = 1 << FRACTION_BITS
_MOST = (1 << 63 - FRACTION_BITS) - 1  # rise of a line, so that its values fit 63 bits


Slopes = NDArray[np.float64]  # [O, 1]


@dataclass(frozen=True, eq=False)
class Lines:
    """A line for each output, int64 [O], as `Line` computes it."""

    slope: Integers
    shift: Integers
    first: Integers
    last: Integers


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a plane in rows, [O, P]: numbers, and how many thresholds they reach."""

    x: Integers | NDArray[np.float64]
    y: Integers


def plan_count(
    thresholds: Integers, sums: Sums, limits: ValueRange
) -> tuple[Counting, NDArray[np.uint8]]:
    """How ascending thresholds [O, T] (whole tiles) are counted, and the table of each tile.

    All sums reach `limits.low`, none reaches `limits.high` + 1.
    """
    count = thresholds.shape[1]
    if count >= _FEWEST[sums.short]:
        for late in (0, 1):
            lines = lines_through(thresholds, limits, late)
            if lines is not None:
                return Line(count * late), _line_tables(lines, thresholds, sums, limits, late)
    return Comparisons(count), _tiled(_threshold_parts(thresholds, sums), sums)


def lines_through(thresholds: Integers, limits: ValueRange, late: int) -> Lines | None:
    """Lines that give the number of thresholds [O, T] reached, or up to `late` less; None: none do.

    Args:
        thresholds: ascending.
        limits: sums reach all thresholds at `limits.low`, and none beyond `limits.high`.
        late: 0 or 1.
    """
    inside = (thresholds > limits.low) & (thresholds <= limits.high)
    below = (thresholds <= limits.low).sum(axis=1, keepdims=True)
    reachable = inside.sum(axis=1, keepdims=True)
    ends = (
        np.where(inside, thresholds, limits.high).min(axis=1, keepdims=True) - 1,
        np.where(inside, thresholds, limits.low).max(axis=1, keepdims=True),
    )
    first, last = (np.where(reachable > 0, end, 0) for end in ends)
    end = last - first
    counts = np.arange(1, thresholds.shape[1] + 1)
    reached = Points(
        x=np.hstack([np.where(inside, thresholds - first, 0), 0 * end]),
        y=np.hstack([np.where(inside, counts - late, 0), np.maximum(below - late, 0)]),
    )
    missed = Points(
        x=np.hstack([np.where(inside, thresholds - 1 - first, end), end]),
        y=np.hstack([np.where(inside, counts, below + reachable + 1), below + reachable + 1]),
    )
    flat, steep = np.maximum(reachable - 1, 0) / (end + 1), (reachable + 1) / np.maximum(end, 1)
    suggested = roomiest_slopes(reached, missed, flat, steep)
    if (suggested * end >= _MOST).any():
        return None
    slope = np.round(suggested * _ONE).astype(np.int64)
    lowest = (reached.y * _ONE - slope * reached.x).max(axis=1)
    highest = (missed.y * _ONE - 1 - slope * missed.x).min(axis=1)
    if (lowest > highest).any():
        return None
    return Lines(slope[:, 0], lowest + (highest - lowest) // 2, first[:, 0], last[:, 0])


def roomiest_slopes(reached: Points, missed: Points, flat: Slopes, steep: Slopes) -> Slopes:
    """Slopes of lines with most room below `missed` and above `reached`; not proven.

    The room is a concave function of the slope, which lies between `flat` and `steep`.
    """
    for _ in range(_HALVINGS):
        slope = (flat + steep) / 2
        highest = (reached.y - slope * reached.x).argmax(axis=1)[:, np.newaxis]
        lowest = (missed.y - slope * missed.x).argmin(axis=1)[:, np.newaxis]
        grows = np.take_along_axis(reached.x, highest, 1) > np.take_along_axis(missed.x, lowest, 1)
        flat, steep = np.where(grows, slope, flat), np.where(grows, steep, slope)
    return flat


def _line_tables(
    lines: Lines, thresholds: Integers, sums: Sums, limits: ValueRange, late: int
) -> NDArray[np.uint8]:
    longs, words = (lines.slope, lines.shift), (lines.first, lines.last)
    parts = [_parts(values[:, np.newaxis], sums, np.int64) for values in longs]
    parts += [_parts(values[:, np.newaxis], sums, np.int32) for values in words]
    if late:
        never = np.full((len(thresholds), 1), limits.high + 1)
        parts.append(_parts(np.hstack([thresholds, never]), sums, np.int32))
    return _tiled(np.concatenate(parts, axis=1), sums)


def _parts(values: Integers, sums: Sums, kind: type[np.integer]) -> NDArray[np.uint8]:
    """Values [O, T] of each vector of outputs one after the other, [vectors, bytes]."""
    outputs, count = values.shape
    ordered = values.reshape(outputs // sums.lanes, sums.lanes, count).transpose(0, 2, 1)
    return _bytes_of(ordered.astype(kind))


def _threshold_parts(thresholds: Integers, sums: Sums) -> NDArray[np.uint8]:
    """As `Comparisons` reads them, [vectors, bytes]."""
    if not sums.short:
        return _parts(thresholds, sums, np.int32)
    outputs, count = thresholds.shape
    halves = thresholds.reshape(outputs // sums.lanes, sums.lanes // 2, 2, count)
    return _bytes_of(halves.transpose(0, 3, 2, 1).astype(np.int16))


def _bytes_of(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """[vectors, bytes]; a step may have no thresholds."""
    size = values[0].size
    return np.ascontiguousarray(values).reshape(len(values), size).view(np.uint8)


def _tiled(parts: NDArray[np.uint8], sums: Sums) -> NDArray[np.uint8]:
    """The bytes of each tile, [tiles, bytes]."""
    return parts.reshape(len(parts) // sums.vectors, sums.vectors * parts.shape[1])
