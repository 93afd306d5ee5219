# SPDX-License-Identifier: Apache-2.0
"""Arrays of Fractions. Equal elements share one object, which makes functions on them cheap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Elements are Fractions (dtype object).
Rationals = NDArray[Any]
# Rationals, or the integers of shapes and indices.
Array = NDArray[Any]

HALF = Fraction(1, 2)


def exact(array: Array) -> Array:
    """Floats of any shape as Fractions; other types (shapes, indices) stay as they are.

    Infinite limits (of Clip) stay floats, which compare with Fractions.

    Raises:
        ValueError: if a value is not a number.
    """
    if array.dtype.kind != "f":
        return array
    if np.isnan(array).any():
        raise ValueError("NaN is no rational number")
    distinct, places = np.unique(array, return_inverse=True)
    values = np.empty(len(distinct), object)
    values[:] = [v if math.isinf(v) else Fraction(v) for v in distinct.tolist()]
    return values[places.reshape(-1)].reshape(array.shape)


def elementwise(function: Callable[..., Any], count: int = 1) -> Callable[..., Rationals]:
    """`function` of `count` Fractions as a numpy function that always returns an array.

    Computed once for elements that are the same objects.
    """

    def apply(*arrays: Any) -> Rationals:
        operands = [np.asarray(array, object) for array in arrays]
        known: dict[Any, Any] = {}

        def once(*values: Any) -> Any:
            key = tuple(map(id, values))
            if key not in known:
                known[key] = function(*values)
            return known[key]

        return np.array(np.frompyfunc(once, count, 1)(*operands), object)

    return apply


def greatest_unit(values: Iterable[Fraction]) -> Fraction:
    """Largest rational of which all values are integer multiples; 1 if all are 0."""
    values = list(values)
    common = math.lcm(*(v.denominator for v in values))
    divisor = math.gcd(*(v.numerator * (common // v.denominator) for v in values))
    return Fraction(divisor or 1, common)


def integers(rows: Rationals) -> tuple[Rationals, Array]:
    """Rows [R, K] as unit · integers: units [R], integers [R, K] (int64 where they fit)."""
    units = np.empty(len(rows), object)
    result = np.empty(rows.shape, object)
    largest = 0
    for index, row in enumerate(rows):
        distinct = {id(value): value for value in row}
        units[index] = unit = greatest_unit(distinct.values())
        codes = {key: int(value / unit) for key, value in distinct.items()}
        result[index] = [codes[id(value)] for value in row]
        largest = max(largest, *map(abs, codes.values()))
    return units, result.astype(np.int64) if largest < 1 << 62 else result


def rationals(numbers: Array, units: Any) -> Rationals:
    """Integers times units (broadcast) as Fractions."""
    known: dict[Any, Fraction] = {}

    def once(number: int, unit: Fraction) -> Fraction:
        key = number, id(unit)
        if key not in known:
            known[key] = number * unit
        return known[key]

    units = np.asarray(units, object)
    return np.array(np.frompyfunc(once, 2, 1)(numbers.astype(object), units), object)
