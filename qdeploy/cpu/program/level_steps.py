# SPDX-License-Identifier: Apache-2.0
"""A Threshold operator as levels of a lattice."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.program.layouts import Lattice
from qdeploy.integer import Integers, Threshold


@dataclass(frozen=True, eq=False)
class LevelSteps:
    """level = first ± number of thresholds that are reached.

    Attributes:
        thresholds: int64 [C or 1, T].
        first: level below all thresholds, int64 [C or 1].
        falls: whether levels fall, bool [C or 1].
    """

    thresholds: Integers
    first: Integers
    falls: NDArray[np.bool_]

    def of(self, channels: slice) -> LevelSteps:
        """The steps of some channels."""
        return LevelSteps(self.thresholds[channels], self.first[channels], self.falls[channels])

    @property
    def mapped(self) -> bool:
        """Whether levels differ from the number of thresholds reached."""
        return bool(self.first.any() or self.falls.any())


def lattice_of(node: Threshold) -> Lattice:
    """The smallest lattice that holds every output."""
    count = node.thresholds.shape[1]
    last = node.base + node.step * count
    low = int(min(node.base.min(), last.min()))
    high = int(max(node.base.max(), last.max()))
    step = 0
    for value in (*node.step, *(node.base - low)):
        step = gcd(step, abs(int(value)))
    return Lattice(low, max(step, 1), (high - low) // max(step, 1) + 1)


def level_steps(node: Threshold, lattice: Lattice, channels: int) -> LevelSteps:
    """The steps of `node` in levels of `lattice`, which holds its outputs.

    A threshold that is more than one level high counts as often.
    """
    heights = np.broadcast_to(np.abs(node.step) // lattice.step, (channels,))
    rows = np.broadcast_to(node.thresholds, (channels, node.thresholds.shape[1]))
    never = 1 << 62
    most = int(heights.max(initial=0))
    repeated = np.full((channels, rows.shape[1] * most), never)
    for channel, (row, height) in enumerate(zip(rows, heights, strict=True)):
        repeated[channel, : len(row) * height] = row.repeat(height)
    first = np.broadcast_to((node.base - lattice.low) // lattice.step, (channels,))
    falls = np.broadcast_to(node.step < 0, (channels,))
    return LevelSteps(repeated, first, falls)
