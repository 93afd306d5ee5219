# SPDX-License-Identifier: Apache-2.0
"""MaxPool and the averages, on integers times a unit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from qdeploy.rational.arrays import Array, Rationals, elementwise, integers, rationals
from qdeploy.rational.registry import Attributes, operator
from qdeploy.rational.windows import windows


def _seen(given: Attributes, codes: Array, fill: int) -> Array:
    """What each output position sees: [1, C, *outputs, kernel]."""
    kernel = tuple(given["kernel_shape"])
    seen = windows(given, codes, kernel, fill)
    return seen.reshape(1, *seen.shape[: -len(kernel)], math.prod(kernel))


@operator("MaxPool")
def max_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX MaxPool 1..12; padding never wins."""
    (unit,), codes = integers(x.reshape(1, -1))
    seen = _seen(given, codes.reshape(x.shape), int(codes.min()))
    return rationals(seen.max(axis=-1), unit)


@operator("AveragePool")
def average_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX AveragePool 1..11."""
    (unit,), codes = integers(x.reshape(1, -1))
    totals = _seen(given, codes.reshape(x.shape), 0).astype(object).sum(axis=-1)
    inside = int(bool(given.get("count_include_pad", 0)))
    counts = _seen(given, np.ones(x.shape, np.int64), inside).sum(axis=-1)
    return elementwise(Fraction, 2)(rationals(totals, unit), counts)


@operator("GlobalAveragePool")
def global_average_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX GlobalAveragePool 1."""
    units, codes = integers(x.reshape(x.shape[1], -1))
    totals = rationals(codes.astype(object).sum(axis=1), units / Fraction(codes.shape[1]))
    return totals.reshape(1, -1, *[1] * (x.ndim - 2))
