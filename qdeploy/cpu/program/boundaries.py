# SPDX-License-Identifier: Apache-2.0
"""How many boundaries of a quantizer a real reaches, as kernels find it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.program.counting import Points, roomiest_slopes

Reals = NDArray[np.float32]
_SMALLEST = 2.0**-125  # boundaries nearer to zero have denormal numbers beside them


@dataclass(frozen=True)
class RealLine:
    """round(slope · x + shift) + addend in float64, halves to even."""

    slope: float
    shift: float
    addend: int


def exact_line(boundaries: Reals) -> RealLine | None:
    """The line that gives the number of boundaries that every float32 reaches, if there is one.

    Rounding keeps the order. So it is enough to compute the line at every boundary and at the
    float32 number below it, as the kernel does.
    """
    if not np.isfinite(boundaries).all() or np.abs(boundaries).min() < _SMALLEST:
        return None
    at, counts = boundaries.astype(np.float64), np.arange(1, len(boundaries) + 1)
    below = np.nextafter(boundaries, np.float32(-np.inf)).astype(np.float64)
    span = float(at[-1] - at[0])
    if not span > 0:
        return None
    rise = np.full((1, 1), (len(boundaries) - 1) / span)
    reached, missed = (Points(x[np.newaxis], counts[np.newaxis]) for x in (at, below))
    slope = float(roomiest_slopes(reached, missed, 0.9 * rise, 1.1 * rise)[0, 0])
    ends = (counts - slope * at).max(), (counts - slope * below).min()
    shift = (ends[0] + ends[1] - 1) / 2  # half a level lower, since the line is rounded
    # Halves are rounded to even numbers where scales are powers of two.
    simple = RealLine(float(np.float32(slope)), float(np.round(shift)), 0)
    lines = (RealLine(slope, shift, 0), simple, replace(simple, shift=simple.shift - 1, addend=1))
    for line in lines:
        most, least = (np.rint(x * line.slope + line.shift) + line.addend for x in (at, below))
        if (most >= counts).all() and (least < counts).all():
            return line
    return None


def keys_of(reals: Reals) -> NDArray[np.int32]:
    """Integers in the order of float32 numbers; zero counts as -0.0, which +0.0 reaches too.

    Comparisons of integers also see denormal numbers, which a processor may take for zero.
    """
    bits = np.where(reals == 0, np.float32(-0.0), reals).astype(np.float32).view(np.int32)
    return bits ^ (bits >> 31 & 0x7FFFFFFF)
