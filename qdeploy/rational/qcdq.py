# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear and DequantizeLinear of ONNX, between reals and integers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Array, Rationals, elementwise
from qdeploy.rational.registry import Attributes, quantizer

WIDTHS = {f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (4, 8, 16)}


@quantizer("QuantizeLinear")
def quantize_linear(given: Attributes, x: Rationals, scale: Any, zero: Any = None) -> Array:
    """ONNX QuantizeLinear 10..21 to integers: round half to even, shift, saturate."""
    zero = np.zeros((), np.uint8) if zero is None else zero
    half = 1 << (WIDTHS[zero.dtype.name] - 1)
    low, high = (0, 2 * half - 1) if zero.dtype.name.startswith("u") else (-half, half - 1)

    def one(v: Fraction, s: Fraction, z: int) -> int:
        return min(max(round(v / s) + z, low), high)

    return elementwise(one, 3)(x, _along(scale, given, x), _along(zero.astype(int), given, x))


@quantizer("DequantizeLinear")
def dequantize_linear(given: Attributes, x: Array, scale: Any, zero: Any = None) -> Rationals:
    """ONNX DequantizeLinear 10..21 of integers."""
    zero = np.zeros((), int) if zero is None else zero.astype(int)
    integers = x if x.dtype == object else x.astype(int)
    return elementwise(lambda v, s, z: (v - z) * s, 3)(
        integers, _along(scale, given, x), _along(zero, given, x)
    )


def _along(parameter: Array, given: Attributes, x: Array) -> Array:
    """One value, or one per index of the axis."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * x.ndim
    shape[given.get("axis", 1)] = -1
    return parameter.reshape(shape)
