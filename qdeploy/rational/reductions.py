# SPDX-License-Identifier: Apache-2.0
"""Sums, means and maxima over axes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Rationals, elementwise
from qdeploy.rational.registry import Attributes, operator


@operator("ReduceSum")
def reduce_sum(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX ReduceSum 1..13."""
    total = x.sum(axis=_axes(given, x, axes), keepdims=bool(given.get("keepdims", 1)))
    return np.asarray(total, object)


@operator("ReduceMean")
def reduce_mean(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX ReduceMean 1..18."""
    count = Fraction(math.prod(x.shape[axis] for axis in _axes(given, x, axes)))
    return elementwise(lambda total: total / count)(reduce_sum(given, x, axes))


@operator("ReduceMax")
def reduce_max(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX ReduceMax 1..20."""
    largest = x.max(axis=_axes(given, x, axes), keepdims=bool(given.get("keepdims", 1)))
    return np.asarray(largest, object)


@operator("GlobalMaxPool")
def global_max_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX GlobalMaxPool 1."""
    return np.asarray(reduce_max({"axes": range(2, x.ndim)}, x))


def _axes(given: Attributes, x: Rationals, axes: Any) -> tuple[int, ...]:
    places = given["axes"] if axes is None else axes.tolist()
    return tuple(axis % x.ndim for axis in places)
