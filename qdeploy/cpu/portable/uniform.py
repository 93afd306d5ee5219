# SPDX-License-Identifier: Apache-2.0
"""Thresholds at nearly equal distances: a straight line guesses how many a value reaches.

The guess may be one too low, never anything else, so that one comparison with the next threshold
corrects it. That this holds for every integer of the range is shown before the line is used: line
and count both ascend, so it is enough to look at both sides of every threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.portable.exactness import FloatType
from qdeploy.integer import Integers, ValueRange


@dataclass(frozen=True, eq=False)
class Line:
    """guess(x) = floor(slope · x + shift), kept within 0..T-1, for each row of thresholds.

    Attributes:
        slope: not negative, [rows].
        shift: [rows], of the same type.
    """

    slope: NDArray[np.floating]
    shift: NDArray[np.floating]


def line_through(thresholds: Integers, x: ValueRange, dtype: FloatType) -> Line | None:
    """The line for ascending thresholds [rows, T] of values in `x`, computed in type `dtype`.

    None if no line through first and last threshold has, at every integer of `x`, a guess that is
    exact or one too low.
    """
    rows, width = thresholds.shape
    inside = (thresholds > x.low) & (thresholds <= x.high)
    below = (thresholds <= x.low).sum(axis=1)
    reachable = below + inside.sum(axis=1)
    ends = [
        np.take_along_axis(thresholds, np.clip(index, 0, width - 1)[:, np.newaxis], axis=1)[:, 0]
        for index in (below, reachable - 1)
    ]
    steps = np.maximum(reachable - 1 - below, 0)
    slope = steps / np.maximum(ends[1] - ends[0], 1)
    # The line passes each threshold halfway between two counts, half an integer below it.
    shift = below + 0.5 - slope * (ends[0] - 0.5)
    line = Line(slope.astype(dtype), shift.astype(dtype))

    index = np.arange(width)
    at, before = _bounds(line, thresholds)[0], _bounds(line, thresholds - 1)[1]
    fits = ((at >= index) & (before < index + 1)) | ~inside
    lowest = _bounds(line, np.full((rows, 1), x.low))[0][:, 0]
    highest = _bounds(line, np.full((rows, 1), x.high))[1][:, 0]
    # The guess is kept within 0..T-1, whatever the line does beyond.
    fits_low = (below <= 1) | (lowest >= below - 1)
    fits_high = (reachable >= width - 1) | (highest < reachable + 1)
    return line if bool(fits.all() and fits_low.all() and fits_high.all()) else None


def boundary_line(boundaries: NDArray[np.float32]) -> Line | None:
    """The line for ascending float32 boundaries of all float32 numbers; None if there is none.

    Product and sum are rounded to float32, as ONNX Runtime and generated kernels do. At both sides
    of every boundary the guess is computed that way; in between it only ascends.
    """
    count = len(boundaries)
    if count < 2 or not np.isfinite(boundaries).all() or boundaries[-1] <= boundaries[0]:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        slope = np.float32((count - 1) / (float(boundaries[-1]) - float(boundaries[0])))
        shift = np.float32(0.5 - float(slope) * float(boundaries[0]))
        at, below = (
            np.clip((x * slope + shift).astype(np.float64), 0, count - 1).astype(np.int64)
            for x in (boundaries, np.nextafter(boundaries, np.float32(-np.inf)))
        )
    if not np.isfinite([slope, shift]).all():
        return None
    index = np.arange(count)
    # At boundary `index` the count is index + 1, just below it is index.
    fits = (at >= index) & (at <= index + 1) & (below >= index - 1) & (below <= index)
    return Line(np.array([slope]), np.array([shift])) if bool(fits.all()) else None


def _bounds(line: Line, x: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of slope · x + shift for `x` [rows, n], computed in the line's type in any order.

    Two roundings of at most eps/2 each; the margin is more than ten times as wide, which covers
    the roundings in float64 here as well.
    """
    product = line.slope.astype(np.float64)[:, np.newaxis] * x
    shift = line.shift.astype(np.float64)[:, np.newaxis]
    margin = 16 * np.finfo(line.slope.dtype).eps * (np.abs(product) + np.abs(shift) + 1)
    return product + shift - margin, product + shift + margin
