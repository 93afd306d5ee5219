# SPDX-License-Identifier: Apache-2.0
"""Sums of products: Conv, Gemm, MatMul.

Both operands are taken as integers times a unit, so that the sums are sums of integers: in int64
where a bound shows that they fit, in Python's integers otherwise.
"""

from __future__ import annotations

import math
from fractions import Fraction
from operator import add, mul
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Array, Rationals, elementwise, integers, rationals
from qdeploy.rational.registry import Attributes, operator
from qdeploy.rational.windows import padded, pads_of, windows


def _largest(numbers: Array) -> int:
    return int(max(-numbers.min(), numbers.max())) if numbers.size else 0


def _sums(a: Array, b: Array) -> Array:
    """A [..., M, K] @ b [..., K, N] of integers, exactly."""
    if _largest(a) * _largest(b) * a.shape[-1] < 1 << 62:
        return np.asarray(a @ b)
    return np.asarray(a.astype(object) @ b.astype(object))


def product(a: Rationals, b: Rationals) -> Rationals:
    """A [..., M, K] @ b [..., K, N]; vectors as in numpy.matmul."""
    columns = np.moveaxis(b, -2, -1) if b.ndim > 1 else b
    a_units, a_integers = integers(a.reshape(-1, a.shape[-1]))
    b_units, b_integers = integers(columns.reshape(-1, columns.shape[-1]))
    b_integers = b_integers.reshape(columns.shape)
    sums = _sums(
        a_integers.reshape(a.shape), np.moveaxis(b_integers, -1, -2) if b.ndim > 1 else b_integers
    )
    left = a_units.reshape(a.shape[:-1])
    right = b_units.reshape(columns.shape[:-1])
    if b.ndim > 1:
        left, right = left[..., np.newaxis], right[..., np.newaxis, :] if a.ndim > 1 else right
    return rationals(sums, elementwise(mul, 2)(left, right))


@operator("Conv")
def conv(given: Attributes, x: Rationals, w: Rationals, bias: Any = None) -> Rationals:
    """ONNX Conv 1..11."""
    groups, outputs = given.get("group", 1), w.shape[0]
    (unit,), codes = integers(x.reshape(1, -1))
    seen = windows(given, codes.reshape(x.shape), w.shape[2:], 0)
    sizes = seen.shape[1 : 1 + len(w.shape[2:])]
    # [C, *sizes, *kernel] to [C, *kernel, positions], by group.
    moved = np.moveaxis(seen, range(1, 1 + len(sizes)), range(-len(sizes), 0))
    columns = moved.reshape(groups, -1, math.prod(sizes))
    units, weights = integers(w.reshape(outputs, -1))
    sums = _sums(weights.reshape(groups, outputs // groups, -1), columns)
    y = rationals(sums.reshape(outputs, -1), (units * unit)[:, np.newaxis])
    y = y.reshape(1, outputs, *sizes)
    return y if bias is None else elementwise(add, 2)(y, bias.reshape(1, -1, *[1] * len(sizes)))


@operator("ConvTranspose")
def conv_transpose(given: Attributes, x: Rationals, w: Rationals, bias: Any = None) -> Rationals:
    """ONNX ConvTranspose 1..11: every input value adds its weights to a window of the output."""
    groups, axes = given.get("group", 1), x.ndim - 2
    strides, dilations = (given.get(name, [1] * axes) for name in ("strides", "dilations"))
    extra = given.get("output_padding", [0] * axes)
    extents = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    sizes = [
        (n - 1) * s + e + more
        for n, s, e, more in zip(x.shape[2:], strides, extents, extra, strict=True)
    ]
    per_group = w.shape[0] // groups
    y = np.full((1, groups * w.shape[1], *sizes), Fraction(0), object)
    for channel, value in np.ndenumerate(np.arange(w.shape[0])):
        first = value // per_group * w.shape[1]
        for place in np.ndindex(*x.shape[2:]):
            seen = tuple(
                slice(p * s, p * s + e, d)
                for p, s, e, d in zip(place, strides, extents, dilations, strict=True)
            )
            target: Any = (0, slice(first, first + w.shape[1]), *seen)
            y[target] += x[(0, *channel, *place)] * w[channel]
    y = padded(y, [(-before, -after) for before, after in pads_of(given, axes)], None)
    return y if bias is None else np.asarray(y + bias.reshape(1, -1, *[1] * axes))


@operator("Gemm")
def gemm(given: Attributes, a: Rationals, b: Rationals, c: Any = None) -> Rationals:
    """ONNX Gemm 7..13."""
    alpha, beta = (Fraction(float(given.get(name, 1.0))) for name in ("alpha", "beta"))
    y = product(a.T if given.get("transA", 0) else a, b.T if given.get("transB", 0) else b)
    if c is None:
        return elementwise(lambda v: alpha * v)(y)
    return elementwise(lambda v, bias: alpha * v + beta * bias, 2)(y, c)


@operator("MatMul")
def mat_mul(given: Attributes, a: Rationals, b: Rationals) -> Rationals:
    """ONNX MatMul 1..13."""
    return product(a, b)
