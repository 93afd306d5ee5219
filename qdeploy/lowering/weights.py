# SPDX-License-Identifier: Apache-2.0
"""Quantized weights become structured integer weights.

Theorem: with S the scale of each weight and u[o] the greatest common divisor of S[o, ...],

    Σ S[o, i] · code[o, i] · x[i] = u[o] · Σ a[o, i] · code[o, i] · x[i],   a = S / u integer.

u leaves the sum as the scale of the output; what remains inside are the integer multipliers a.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Codes, Integers, Plane, Weights
from qdeploy.lowering.exact import Fractions, greatest_common_divisor
from qdeploy.lowering.values import QuantizedConstant

# More than a trained fixed-point scale ever needs; arbitrary float32 scales need 24 and up.
MAXIMUM_MULTIPLIER_BITS = 24


def structured_weights(
    constant: QuantizedConstant, input_scale: tuple[Fraction, ...], layer: str
) -> tuple[Weights, tuple[Fraction, ...]]:
    """Integer weights and the scale of each output channel.

    Args:
        constant: codes [O, I, ...] with their scales.
        input_scale: scale of the layer's input, one or one per input channel; a scale that differs
            between channels lies along the sum and joins the multipliers.
        layer: for messages.

    Returns:
        The weights and the output scale, one Fraction or one per output channel.

    Raises:
        UserError: if the exact multipliers get too wide.
    """
    codes = constant.codes
    scale: Fractions = constant.scale.reshape(
        (1,) * (codes.ndim - constant.scale.ndim) + constant.scale.shape
    )
    if len(input_scale) > 1:
        scale = scale * np.array(input_scale, object).reshape(1, -1, *(1,) * (codes.ndim - 2))
    elif input_scale[0] != 1:
        scale = scale * input_scale[0]
    if (scale < 0).any():
        codes = np.where(scale < 0, -codes, codes)
        scale = abs(scale)
    output_scale = tuple(greatest_common_divisor(row.ravel()) for row in scale)
    multipliers = np.stack(
        [
            _multipliers(row, divisor, layer)
            for row, divisor in zip(scale, output_scale, strict=True)
        ]
    )
    if (multipliers == multipliers[:1]).all():
        multipliers = multipliers[:1]
    return Weights((Plane(_smallest(codes), multipliers),)), output_scale


def negated(weights: Weights, channels: NDArray[np.bool_]) -> Weights | None:
    """The weights with the marked output channels negated; None if a code book would grow."""
    planes = []
    for plane in weights.planes:
        marked = channels.reshape(-1, *(1,) * (plane.codes.ndim - 1))
        codes = np.where(marked, -plane.codes.astype(np.int32), plane.codes)
        flipped = Plane(_smallest(codes), plane.multipliers)
        if flipped.code_bits > plane.code_bits:
            return None
        planes.append(flipped)
    return Weights(tuple(planes))


def _multipliers(row: Fractions, divisor: Fraction, layer: str) -> Integers:
    """The scales of one output channel (or of all) as integers over their common divisor."""
    if divisor == 0:
        return np.ones(row.shape, np.int64)
    multipliers = row / divisor
    bits = int(multipliers.max()).bit_length()
    if bits > MAXIMUM_MULTIPLIER_BITS:
        raise UserError(
            f"its {row.size} weight scales need integer multipliers of {bits} bits to be exact",
            layer=layer,
            remedy="train the scales in fixed point (qdeploy.quantizers.syq does: 8 bits), "
            "or use one scale per layer or per output channel",
        )
    exact: Integers = multipliers.astype(np.int64)
    return exact


def _smallest(codes: NDArray[Any]) -> Codes:
    low, high = codes.min(initial=0), codes.max(initial=0)
    if low >= -128 and high <= 127:
        return codes.astype(np.int8)
    if low >= -(1 << 15) and high < 1 << 15:
        return codes.astype(np.int16)
    return codes.astype(np.int32)
