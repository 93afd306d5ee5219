# SPDX-License-Identifier: Apache-2.0
"""Parts of tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Array, Rationals
from qdeploy.rational.registry import Attributes, operator


@operator("Slice")
def take_slices(given: Attributes, x: Array, *numbers: Any) -> Array:
    """ONNX Slice 1..13; the numbers are attributes up to 9."""
    names = ("starts", "ends", "axes", "steps")
    known = dict(zip(names, numbers, strict=False)) | given
    axes = known.get("axes")
    axes = range(len(known["starts"])) if axes is None else axes
    steps = known.get("steps")
    steps = [1] * len(known["starts"]) if steps is None else steps
    for start, end, axis, step in zip(known["starts"], known["ends"], axes, steps, strict=True):
        indices = range(x.shape[axis])[int(start) : int(end) : int(step)]
        x = x.take(list(indices), axis=axis)
    return x


@operator("Split")
def split(given: Attributes, x: Array, lengths: Any = None) -> tuple[Array, ...]:
    """ONNX Split 2..13 with the lengths of the parts given."""
    ends = np.cumsum(given["split"] if lengths is None else lengths)
    return tuple(np.split(x, ends[:-1], axis=given.get("axis", 0)))


@operator("SpaceToDepth")
def space_to_depth(given: Attributes, x: Rationals) -> Rationals:
    """ONNX SpaceToDepth 1..13."""
    block = given["blocksize"]
    parts = [x[:, :, i::block, j::block] for i, j in itertools.product(range(block), repeat=2)]
    return np.concatenate(parts, axis=1)
