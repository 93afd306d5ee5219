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


def _bounds(line: Line, x: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of slope · x + shift for `x` [rows, n], computed in the line's type in any order.

    Two roundings of at most eps/2 each; the margin is more than ten times as wide, which covers
    the roundings in float64 here as well.
    """
    product = line.slope.astype(np.float64)[:, np.newaxis] * x
    shift = line.shift.astype(np.float64)[:, np.newaxis]
    margin = 16 * np.finfo(line.slope.dtype).eps * (np.abs(product) + np.abs(shift) + 1)
    return product + shift - margin, product + shift + margin
