# SPDX-License-Identifier: Apache-2.0
"""Rational arithmetic on float32 data: every finite float is a rational number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Accuracy of square roots that are not rational: far beyond any tie between integer sums.
ROOT_BITS = 160

Fractions = NDArray[np.object_]


def fractions(values: NDArray[Any]) -> Fractions:
    """Floats or integers of any shape to Fractions, exactly; equal elements share one object.

    Raises:
        ValueError: if a value is infinite or not a number.
    """
    finite = np.isfinite(values)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{values[index]} at {index}")
    distinct, places = np.unique(values, return_inverse=True)
    exact = np.empty(len(distinct), object)
    exact[:] = [Fraction(value) for value in distinct.tolist()]
    return exact[places.reshape(-1)].reshape(values.shape)


def of_distinct(function: Callable[[Fraction], Any], values: Fractions) -> Fractions:
    """`function` of every element, computed once per object: arrays share their Fractions."""
    results = {id(value): function(value) for value in _distinct(values.ravel())}
    mapped = np.empty(values.size, object)
    mapped[:] = [results[id(value)] for value in values.ravel()]
    return mapped.reshape(values.shape)


def _distinct(values: Iterable[Fraction]) -> Iterable[Fraction]:
    return {id(value): value for value in values}.values()


def greatest_common_divisor(values: Iterable[Fraction]) -> Fraction:
    """Largest rational of which all values are integer multiples; 0 if all are 0."""
    numerator, denominator = 0, 1
    for value in _distinct(values):
        numerator = math.gcd(numerator * value.denominator, value.numerator * denominator)
        denominator *= value.denominator
        common = math.gcd(numerator, denominator)
        numerator, denominator = numerator // common, denominator // common
    return Fraction(numerator, denominator)


def square_root(value: Fraction) -> Fraction:
    """Exact for squares of rationals, else rounded down after 160 significant bits.

    Raises:
        ValueError: if `value` is negative.
    """
    if value < 0:
        raise ValueError(f"square root of {float(value)}")
    # sqrt(n/d) = sqrt(n·d)/d; shift so that the integer root carries enough bits.
    product = value.numerator * value.denominator
    root = math.isqrt(product)
    if root * root == product:
        return Fraction(root, value.denominator)
    shift = max(0, ROOT_BITS - product.bit_length() // 2)
    return Fraction(math.isqrt(product << (2 * shift)), value.denominator << shift)


def collapsed(array: NDArray[Any]) -> NDArray[Any]:
    """The array with every axis along which it is constant shortened to 1."""
    for axis in range(array.ndim):
        first = array.take([0], axis) if array.size else array
        if array.shape[axis] > 1 and (array == first).all():
            array = first
    return array
