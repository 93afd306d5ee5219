# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element or along whole axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.rational.arrays import Array, Rationals, elementwise, exact
from qdeploy.rational.registry import Attributes, Meaning, operator

# Accuracy of irrational roots, which no rational executor can hold.
ROOT_BITS = 200


def _of_two(function: Callable[[Any, Any], Any]) -> Meaning:
    """ONNX Add, Sub, Mul, Div 7..14."""
    apply = elementwise(function, 2)
    return lambda given, a, b: apply(a, b)


operator("Add")(_of_two(add))
operator("Sub")(_of_two(sub))
operator("Mul")(_of_two(mul))
operator("Div")(_of_two(truediv))


@operator("Max")
def maximum(given: Attributes, *operands: Rationals) -> Rationals:
    """ONNX Max 8..13."""
    return functools.reduce(elementwise(max, 2), operands)


@operator("Min")
def minimum(given: Attributes, *operands: Rationals) -> Rationals:
    """ONNX Min 8..13."""
    return functools.reduce(elementwise(min, 2), operands)


@operator("Sum")
def total(given: Attributes, *operands: Rationals) -> Rationals:
    """ONNX Sum 8..13."""
    return functools.reduce(elementwise(add, 2), operands)


@operator("Mean")
def mean(given: Attributes, *operands: Rationals) -> Rationals:
    """ONNX Mean 8..13."""
    return elementwise(lambda v: v / len(operands))(total(given, *operands))


@operator("Neg")
def negate(given: Attributes, x: Array) -> Array:
    """ONNX Neg 6..13."""
    return np.asarray(-x)


@operator("BatchNormalization")
def batch_normalization(
    given: Attributes, x: Rationals, gamma: Any, beta: Any, mean: Any, variance: Any
) -> Rationals:
    """ONNX BatchNormalization 7..15 in inference; irrational roots see `square_root`."""
    epsilon = Fraction(float(np.float32(given.get("epsilon", 1e-5))))
    factor = np.array([g / square_root(v + epsilon) for g, v in zip(gamma, variance, strict=True)])
    shift = beta - factor * mean
    shape = (1, -1) + (1,) * (x.ndim - 2)
    apply = elementwise(lambda v, f, s: v * f + s, 3)
    return apply(x, factor.reshape(shape), shift.reshape(shape))


def square_root(value: Fraction) -> Fraction:
    """Exact where the root is rational, else rounded down to at least 200 significant bits."""
    product = value.numerator * value.denominator
    shift = 0 if math.isqrt(product) ** 2 == product else ROOT_BITS
    return Fraction(math.isqrt(product << (2 * shift)), value.denominator << shift)


@operator("Relu")
def relu(given: Attributes, x: Rationals) -> Rationals:
    """ONNX Relu 6..14."""
    return elementwise(max, 2)(x, Fraction(0))


@operator("LeakyRelu")
def leaky_relu(given: Attributes, x: Rationals) -> Rationals:
    """ONNX LeakyRelu 6..16."""
    alpha = Fraction(float(np.float32(given.get("alpha", 0.01))))
    return elementwise(lambda v: v if v >= 0 else alpha * v)(x)


@operator("PRelu")
def parametric_relu(given: Attributes, x: Rationals, slope: Rationals) -> Rationals:
    """ONNX PRelu 7..16."""
    return elementwise(lambda v, s: v if v >= 0 else s * v, 2)(x, slope)


@operator("HardSigmoid")
def hard_sigmoid(given: Attributes, x: Rationals) -> Rationals:
    """ONNX HardSigmoid 6..22."""
    alpha, beta = (
        Fraction(float(np.float32(given.get(name, default))))
        for name, default in (("alpha", 0.2), ("beta", 0.5))
    )
    return elementwise(lambda v: max(Fraction(0), min(Fraction(1), alpha * v + beta)))(x)


@operator("Clip")
def clip(given: Attributes, x: Rationals, low: Any = None, high: Any = None) -> Rationals:
    """ONNX Clip 6..13; the limits are attributes up to 10."""
    low, high = (
        exact(np.asarray(given[name])) if name in given else limit
        for name, limit in (("min", low), ("max", high))
    )
    y = x if low is None else elementwise(max, 2)(x, low)
    return y if high is None else elementwise(min, 2)(y, high)


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


@operator("TopK")
def top_k(given: Attributes, x: Rationals, k: Any = None) -> tuple[Rationals, NDArray[np.int64]]:
    """ONNX TopK 1..11: the k largest values and their indices; the first of equals first."""
    axis = given.get("axis", -1)
    count = given["k"] if k is None else int(k.item())
    moved = np.moveaxis(x, axis, -1)
    index = np.empty((*moved.shape[:-1], count), np.int64)
    for position in np.ndindex(index.shape[:-1]):
        ordered = sorted((-value, i) for i, value in enumerate(moved[position]))
        index[position] = [i for _, i in ordered[:count]]
    index = np.moveaxis(index, -1, axis)
    return np.take_along_axis(x, index, axis), index
