# SPDX-License-Identifier: Apache-2.0
"""MaxPool and the averages."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from qdeploy.rational.arrays import Rationals
from qdeploy.rational.registry import Attributes, operator
from qdeploy.rational.windows import windows


@operator("MaxPool")
def max_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX MaxPool 1..12; padding never wins."""
    sizes, visit = windows(given, x, tuple(given["kernel_shape"]), None)
    y = np.empty((1, x.shape[1], *sizes), object)
    for position, window in visit:
        for channel, values in enumerate(window.reshape(x.shape[1], -1)):
            y[(0, channel, *position)] = max(v for v in values if v is not None)
    return y


@operator("AveragePool")
def average_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX AveragePool 1..11."""
    sizes, visit = windows(given, x, tuple(given["kernel_shape"]), None)
    y = np.empty((1, x.shape[1], *sizes), object)
    for position, window in visit:
        for channel, values in enumerate(window.reshape(x.shape[1], -1)):
            inside = [v for v in values if v is not None]
            count = len(values) if given.get("count_include_pad", 0) else len(inside)
            y[(0, channel, *position)] = sum(inside) / count
    return y


@operator("GlobalAveragePool")
def global_average_pool(given: Attributes, x: Rationals) -> Rationals:
    """ONNX GlobalAveragePool 1."""
    axes = tuple(range(2, x.ndim))
    return np.asarray(x.sum(axis=axes, keepdims=True) / Fraction(math.prod(x.shape[2:])))
