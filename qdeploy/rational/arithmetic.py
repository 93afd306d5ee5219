# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element or along whole axes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.rational.arrays import Array, Rationals, elementwise
from qdeploy.rational.registry import Attributes, operator


@operator("Add")
def add(given: Attributes, a: Array, b: Array) -> Array:
    """ONNX Add 7..14."""
    return np.asarray(a + b)


@operator("Sub")
def sub(given: Attributes, a: Array, b: Array) -> Array:
    """ONNX Sub 7..14."""
    return np.asarray(a - b)


@operator("Mul")
def mul(given: Attributes, a: Array, b: Array) -> Array:
    """ONNX Mul 7..14."""
    return np.asarray(a * b)


@operator("Div")
def div(given: Attributes, a: Array, b: Array) -> Array:
    """ONNX Div 7..14; integers are divided towards zero in ONNX, which no shape needs."""
    return np.asarray(a / b)


@operator("Neg")
def neg(given: Attributes, x: Array) -> Array:
    """ONNX Neg 6..13."""
    return np.asarray(-x)


@operator("BatchNormalization")
def batch_normalization(
    given: Attributes, x: Rationals, gamma: Any, beta: Any, mean: Any, variance: Any
) -> Rationals:
    """Only for variances whose root is rational."""
    epsilon = Fraction(float(np.float32(given.get("epsilon", 1e-5))))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    root = elementwise(lambda v: _rational_root(v + epsilon))(variance)
    gamma, beta, mean, root = (p.reshape(shape) for p in (gamma, beta, mean, root))
    return np.asarray((x - mean) / root * gamma + beta)


def _rational_root(v: Fraction) -> Fraction:
    root = Fraction(math.isqrt(v.numerator), math.isqrt(v.denominator))
    assert root * root == v, f"{v} has no rational root"
    return root


@operator("Relu")
def relu(given: Attributes, x: Rationals) -> Rationals:
    """ONNX Relu 6..14."""
    return elementwise(max, 2)(x, Fraction(0))


@operator("LeakyRelu")
def leaky_relu(given: Attributes, x: Rationals) -> Rationals:
    """ONNX LeakyRelu 6..16."""
    alpha = Fraction(float(np.float32(given.get("alpha", 0.01))))
    return elementwise(lambda v: v if v >= 0 else alpha * v)(x)


@operator("Clip")
def clip(given: Attributes, x: Rationals, low: Any = None, high: Any = None) -> Rationals:
    """ONNX Clip 11..13; older ones have their limits as attributes."""
    y = x if low is None else elementwise(max, 2)(x, low)
    return y if high is None else elementwise(min, 2)(y, high)


@operator("ReduceMean")
def reduce_mean(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX ReduceMean 1..18."""
    axes = tuple(given["axes"] if axes is None else axes.tolist())
    axes = tuple(axis % x.ndim for axis in axes)
    count = math.prod(x.shape[axis] for axis in axes)
    total = x.sum(axis=axes, keepdims=bool(given.get("keepdims", 1)))
    return np.asarray(total / Fraction(count))


@operator("ArgMax")
def arg_max(given: Attributes, x: Rationals) -> NDArray[np.int64]:
    """ONNX ArgMax 1..13: the first of equals."""
    axis = given.get("axis", 0) % x.ndim
    moved = np.moveaxis(x, axis, -1)
    index = np.empty(moved.shape[:-1], np.int64)
    for position in np.ndindex(index.shape):
        row = list(moved[position])
        index[position] = row.index(max(row))
    return np.expand_dims(index, axis) if given.get("keepdims", 1) else index
