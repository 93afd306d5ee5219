# SPDX-License-Identifier: Apache-2.0
"""Sums of products: Conv, Gemm, MatMul."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Rationals
from qdeploy.rational.registry import Attributes, operator
from qdeploy.rational.windows import windows


@operator("Conv")
def conv(given: Attributes, x: Rationals, w: Rationals, bias: Any = None) -> Rationals:
    """ONNX Conv 1..11."""
    groups, outputs = given.get("group", 1), w.shape[0]
    sizes, visit = windows(given, x, w.shape[2:], Fraction(0))
    y = np.empty((1, outputs, *sizes), object)
    matrix = w.reshape(outputs, -1)
    for position, window in visit:
        for group, part in enumerate(np.split(window, groups)):
            rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
            place: Any = (0, rows, *position)
            y[place] = matrix[rows] @ part.reshape(-1)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * len(sizes))


@operator("Gemm")
def gemm(given: Attributes, a: Rationals, b: Rationals, c: Any = None) -> Rationals:
    """ONNX Gemm 7..13."""
    alpha, beta = (Fraction(float(given.get(name, 1.0))) for name in ("alpha", "beta"))
    a = a.T if given.get("transA", 0) else a
    b = b.T if given.get("transB", 0) else b
    return np.asarray(alpha * (a @ b) + (0 if c is None else beta * c))


@operator("MatMul")
def mat_mul(given: Attributes, a: Rationals, b: Rationals) -> Rationals:
    """ONNX MatMul 1..13."""
    return np.asarray(a @ b)
