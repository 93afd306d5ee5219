# SPDX-License-Identifier: Apache-2.0
"""The quantizers of QONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Rationals, elementwise
from qdeploy.rational.registry import Attributes, quantizer


def _sign(v: int) -> int:
    return (v > 0) - (v < 0)


def _half_up(n: int, d: int) -> int:
    return (2 * n + d) // (2 * d)


def _half_even(n: int, d: int) -> int:
    nearest = _half_up(n, d)
    return nearest - (nearest & 1 and (2 * n + d) % (2 * d) == 0)


def _symmetric(magnitude: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda n, d: _sign(n) * magnitude(abs(n), d)


def _ceil(n: int, d: int) -> int:
    return -(-n // d)


# The quotient n / d, d > 0, as an integer.
ROUNDING: dict[str, Callable[[int, int], int]] = {
    "ROUND": _half_even,
    "HALF_EVEN": _half_even,
    "CEIL": _ceil,
    "FLOOR": lambda n, d: n // d,
    "UP": _symmetric(_ceil),
    "DOWN": _symmetric(lambda n, d: n // d),
    "ROUND_TO_ZERO": _symmetric(lambda n, d: n // d),
    "HALF_UP": _symmetric(_half_up),
    "HALF_DOWN": _symmetric(lambda n, d: _ceil(2 * n - d, 2 * d)),
}


@quantizer("Quant")
def quant(given: Attributes, x: Rationals, scale: Any, zero: Any, bits: Any) -> Rationals:
    """QONNX Quant; the public executor makes the signed 1-bit quantizer bipolar."""
    signed, narrow = bool(given.get("signed", 1)), int(given.get("narrow", 0))
    rounding = ROUNDING[given.get("rounding_mode", b"ROUND").decode().upper()]
    known: dict[Any, Fraction] = {}

    def one(v: Fraction, s: Fraction, z: Fraction, b: Fraction) -> Fraction:
        width = int(b)
        # v / s + z as n / d, without reducing it.
        n = v.numerator * s.denominator * z.denominator
        d = v.denominator * s.numerator * z.denominator
        n += z.numerator * v.denominator * s.numerator
        if d < 0:
            n, d = -n, -d
        if signed and width == 1:
            code = 1 if n >= 0 else -1
        else:
            half = 1 << (width - 1)
            low, high = (narrow - half, half - 1) if signed else (0, 2 * half - 1 - narrow)
            code = min(max(rounding(n, d), low), high)
        key = code, id(s), id(z)
        if key not in known:
            known[key] = (code - z) * s
        return known[key]

    return elementwise(one, 4)(x, scale, zero, bits)


@quantizer("Sign")
def sign(given: Attributes, x: Rationals) -> Rationals:
    """ONNX Sign 9..13."""
    return elementwise(lambda v: Fraction((v > 0) - (v < 0)))(x)


@quantizer("BipolarQuant")
def bipolar_quant(given: Attributes, x: Rationals, scale: Rationals) -> Rationals:
    """QONNX BipolarQuant; 0 becomes +scale."""
    return elementwise(lambda v, s: s if v >= 0 else -s, 2)(x, scale)


@quantizer("MultiThreshold")
def multithreshold(given: Attributes, x: Rationals, thresholds: Rationals) -> Rationals:
    """QONNX MultiThreshold: how many thresholds [C or 1, T] each value reaches."""
    scale, bias = Fraction(given.get("out_scale", 1.0)), Fraction(given.get("out_bias", 0.0))
    layout = given.get("data_layout", b"").decode() or {3: "NWC"}.get(x.ndim, "NC")
    axis = max(layout.find("C"), 0) or 1
    channels_last = np.moveaxis(x, axis, -1)[..., np.newaxis]
    count = (channels_last >= thresholds).sum(axis=-1)
    return np.moveaxis(elementwise(lambda n: n * scale + bias)(count), -1, axis)


@quantizer("Trunc")
def trunc(
    given: Attributes, x: Rationals, scale: Any, zero: Any, bits: Any, *rest: Any
) -> Rationals:
    """QONNX Trunc 1 (rest: output bits), and 2 (rest: output scale, output bits)."""
    mode = ROUNDING[given.get("rounding_mode", b"FLOOR").decode().upper()]
    first = len(rest) == 1
    width = int(rest[-1].item())
    half = 1 << (width - 1)
    low, high = 0, 2 * half - 1 - given.get("narrow", 0)
    if given.get("signed", 1):
        low, high = given.get("narrow", 0) - half, half - 1

    def one(v: Fraction, s: Fraction, z: Fraction, output_scale: Fraction) -> Any:
        quotient = round(v / s + z)
        if first:
            divisor = Fraction(2) ** (int(bits.item()) - width)
            return (integer(quotient / divisor) - z) * s
        divisor = Fraction(2) ** round(math.log2(output_scale / s))
        code = min(max(integer(quotient / divisor), low), high)
        return (code - z / divisor) * output_scale

    def integer(value: Fraction) -> int:
        return mode(value.numerator, value.denominator)

    return elementwise(one, 4)(x, scale, zero, rest[0])
