# SPDX-License-Identifier: Apache-2.0
"""Grouped convolutions on the matrix-vector unit: one group with zeros in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdeploy.integer import Convolution, Linear, Plane, Weights


def one_group(node: Convolution | Linear) -> Convolution | Linear:
    """The same layer with groups=1; weights between groups are zero."""
    if not isinstance(node, Convolution) or node.groups == 1:
        return node
    planes = tuple(_one_group(plane, node.groups) for plane in node.weights.planes)
    return replace(node, weights=Weights(planes), groups=1)


def _one_group(plane: Plane, groups: int) -> Plane:
    outputs, channels, *kernel = plane.codes.shape
    codes = np.zeros((groups, outputs // groups, groups, channels, *kernel), plane.codes.dtype)
    for group, part in enumerate(np.split(plane.codes, groups)):
        codes[group, :, group] = part
    multipliers = plane.multipliers
    if multipliers.shape[1] > 1:
        multipliers = np.tile(multipliers, (1, groups, *(1,) * len(kernel)))
    return Plane(codes.reshape(outputs, groups * channels, *kernel), multipliers)
