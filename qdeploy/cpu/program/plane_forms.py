# SPDX-License-Identifier: Apache-2.0
"""Equal weights in the planes and groups that kernels compute with least effort."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdeploy.integer import Convolution, Integers, Plane, Weights

_SEGMENTS = 64  # more of them would be more code than a processor keeps
_GROUPS = 8


def with_unit_kernel(weights: Weights, shape: tuple[int, int, int]) -> Weights | None:
    """Weights [O, C·H·W] of a fully connected layer as [O, C, H, W]; None if scales forbid it."""
    channels, height, width = shape
    planes = []
    for plane in weights.planes:
        rows, columns = plane.aligned_multipliers().shape
        if columns > 1 and height * width > 1:
            return None
        multipliers = plane.multipliers.reshape(rows, columns, 1, 1)
        codes = plane.codes.reshape(len(plane.codes), channels, height, width)
        planes.append(Plane(codes, multipliers))
    return Weights(tuple(planes))


def simplified(node: Convolution) -> Convolution:
    """The layer with few planes, few scales inside the sum and few groups."""
    weights = node.weights
    planes = tuple(Plane(plane.codes, plane.aligned_multipliers()) for plane in weights.planes)
    grids = [plane.multipliers.shape[1:] for plane in planes]
    if len(planes) > 1 or max(grids) > (1, 1, 1):
        merged = weights.integers()
        unit = max(1, int(np.gcd.reduce(merged, axis=None)))
        segments = sum(grid[0] * weights.shape[2] * weights.shape[3] for grid in grids)
        if len(np.unique(merged)) <= 4:
            planes = (_plain(merged // unit, unit),)
        elif segments > _SEGMENTS:
            planes = (_plain(merged, 1),)
    groups, outputs = node.groups, len(planes[0].codes)
    most = max(g for g in range(1, _GROUPS + 1) if groups % g == 0)
    if groups > _GROUPS:
        dense = _joined(weights.integers(), groups // most, outputs // groups, outputs // most)
        planes, groups = (_plain(dense, 1),), most
    return replace(node, weights=Weights(planes), groups=groups)


def _plain(codes: Integers, multiplier: int) -> Plane:
    return Plane(codes.astype(np.int32), np.full((1, 1, 1, 1), multiplier))


def _joined(weights: Integers, count: int, outputs: int, joined_outputs: int) -> Integers:
    """Weights [O, C, KH, KW] of groups of `outputs` outputs, with `count` groups made one."""
    rows, channels, *kernel = weights.shape
    dense = np.zeros((rows, count * channels, *kernel), np.int64)
    for row in range(rows):
        first = row % joined_outputs // outputs * channels
        dense[row, first : first + channels] = weights[row]
    return dense
