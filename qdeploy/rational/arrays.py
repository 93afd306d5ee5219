# SPDX-License-Identifier: Apache-2.0
"""Arrays of Fractions, and functions on them."""

from __future__ import annotations

from collections.abc import Callable
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

    Raises:
        ValueError: if a value is infinite or not a number.
    """
    if array.dtype.kind != "f":
        return array
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{array[~finite][0]} is no rational number")
    result = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        result[index] = Fraction(float(array[index]))
    return result


def elementwise(function: Callable[..., Any], count: int = 1) -> Callable[..., Rationals]:
    """`function` on Fractions as a numpy function that always returns an array."""
    ufunc = np.frompyfunc(function, count, 1)

    def apply(*arrays: Rationals) -> Rationals:
        return np.array(ufunc(*arrays), object)

    return apply
