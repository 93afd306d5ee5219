# SPDX-License-Identifier: Apache-2.0
"""The quantizers of QONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import HALF, Rationals, elementwise
from qdeploy.rational.registry import Attributes, operator


def _sign(v: Fraction) -> int:
    return (v > 0) - (v < 0)


ROUNDING: dict[str, Callable[[Fraction], int]] = {
    "ROUND": round,
    "HALF_EVEN": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "UP": lambda v: _sign(v) * math.ceil(abs(v)),
    "DOWN": math.trunc,
    "ROUND_TO_ZERO": math.trunc,
    "HALF_UP": lambda v: _sign(v) * math.floor(abs(v) + HALF),
    "HALF_DOWN": lambda v: _sign(v) * math.ceil(abs(v) - HALF),
}


@operator("Quant")
def quant(given: Attributes, x: Rationals, scale: Any, zero: Any, bits: Any) -> Rationals:
    """QONNX Quant; the public executor makes the signed 1-bit quantizer bipolar."""
    signed, narrow = bool(given.get("signed", 1)), int(given.get("narrow", 0))
    rounding = ROUNDING[given.get("rounding_mode", b"ROUND").decode().upper()]

    def one(v: Fraction, s: Fraction, z: Fraction, b: Fraction) -> Fraction:
        width = int(b)
        code = v / s + z
        if signed and width == 1:
            return ((1 if code >= 0 else -1) - z) * s
        half = 1 << (width - 1)
        low, high = (narrow - half, half - 1) if signed else (0, 2 * half - 1 - narrow)
        return (min(max(rounding(code), low), high) - z) * s

    return elementwise(one, 4)(x, scale, zero, bits)


@operator("BipolarQuant")
def bipolar_quant(given: Attributes, x: Rationals, scale: Rationals) -> Rationals:
    """QONNX BipolarQuant; 0 becomes +scale."""
    return elementwise(lambda v, s: s if v >= 0 else -s, 2)(x, scale)


@operator("MultiThreshold")
def multithreshold(given: Attributes, x: Rationals, thresholds: Rationals) -> Rationals:
    """QONNX MultiThreshold: how many thresholds [C or 1, T] each value reaches."""
    scale, bias = Fraction(given.get("out_scale", 1.0)), Fraction(given.get("out_bias", 0.0))
    layout = given.get("data_layout", b"").decode() or {3: "NWC"}.get(x.ndim, "NC")
    axis = max(layout.find("C"), 0) or 1
    channels_last = np.moveaxis(x, axis, -1)[..., np.newaxis]
    count = (channels_last >= thresholds).sum(axis=-1)
    return np.moveaxis(count * scale + bias, -1, axis)
