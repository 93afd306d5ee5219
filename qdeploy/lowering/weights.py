# SPDX-License-Identifier: Apache-2.0
"""Quantized weights become structured integer weights.

Theorem: with S_b the scale of each weight in plane b and u[o] the greatest common divisor of all
S_b[o, ...],

    Σ_b Σ S_b[o, i] · code_b[o, i] · x[i] = u[o] · Σ_b Σ a_b[o, i] · code_b[o, i] · x[i],

a_b = S_b / u integer. u leaves the sum as the scale of the output; what remains inside are the
integer multipliers a_b.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Codes, Integers, Plane, ValueRange, Weights
from qdeploy.lowering.exact import Fractions, fractions, greatest_common_divisor, of_distinct
from qdeploy.lowering.levels import MAXIMUM_STEP, Boundary, Rounding
from qdeploy.lowering.values import Constant, QuantizedConstant, ScaledCodes

# More than a trained fixed-point scale ever needs. Arbitrary float32 scales, which differ by less
# than a factor of 256, have 24 to 32 bits; with many inputs, sums get too wide for accumulators.
MAXIMUM_MULTIPLIER_BITS = 32
# ALQ has up to 8 bases. The number doubles with every Add of a sum to itself.
MAXIMUM_PLANES = 16
# Constants of more than 16 bits are no weights of a low-bit network.
MAXIMUM_PLAIN_INTEGER = (1 << 15) - 1


def quantized_weights(
    array: NDArray[Any],
    scale: NDArray[Any],
    zero_point: NDArray[Any],
    codes: ValueRange,
    rounding: Rounding,
) -> ScaledCodes:
    """Codes of constant weights: w / scale + zero_point, clipped and rounded, minus zero_point.

    A float64 quotient finds the code up to one; comparisons with the code's two boundaries, exact
    as long as the scale is a float32, correct it.

    Args:
        array: real weights of any shape.
        scale: positive, broadcastable to the weights.
        zero_point: likewise; codes are counted from it, in fractions of a code where it is one.
        codes: before the zero point is subtracted.
        rounding: from `ROUNDING`.

    Raises:
        ValueError: if the weights are not finite, the shapes do not fit or a zero point is no
            multiple of 1/16.
    """
    weights = np.asarray(array, np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("the weights are not finite")
    if np.broadcast_shapes(weights.shape, scale.shape, zero_point.shape) != weights.shape:
        raise ValueError(f"a scale of shape {scale.shape} for weights of shape {weights.shape}")
    s, z = scale.astype(np.float64), zero_point.astype(np.float64)
    parts = max(zero.denominator for zero in fractions(zero_point).ravel())
    if parts > MAXIMUM_STEP:
        raise ValueError(f"a zero point is no multiple of 1/{MAXIMUM_STEP}")
    with np.errstate(over="ignore"):
        guess = np.clip(np.rint(weights / s + z), codes.low, codes.high).astype(np.int64)
    upper = _reached(weights, guess + 1, s, z, rounding) & (guess < codes.high)
    lower = ~_reached(weights, guess, s, z, rounding) & (guess > codes.low)
    result: Integers = parts * (guess + upper - lower) - np.rint(parts * z).astype(np.int64)
    if np.abs(result).max(initial=0) >= 1 << 31:
        raise ValueError("their codes need more than 32 bits")
    return ScaledCodes(result.astype(np.int32), np.atleast_1d(fractions(scale)) / parts)


def _reached(
    w: NDArray[np.float64],
    code: Integers,
    scale: NDArray[np.float64],
    zero_point: NDArray[np.float64],
    rounding: Rounding,
) -> NDArray[np.bool_]:
    """Whether each weight lies behind the boundary that leads to its code."""
    halves, included = rounding(code)
    place = halves / 2 - zero_point
    edge = place * scale
    reached: NDArray[np.bool_] = (w > edge) | (included & (w == edge))
    wide = np.abs(halves).max(initial=0) >= 1 << 28  # else 24 + 29 bits: the product is exact
    if wide or (scale.astype(np.float32) != scale).any():
        close = np.abs(w - edge) <= 2.0**-50 * np.abs(edge)
        for index in zip(*np.nonzero(close), strict=True):
            factor = Fraction(float(np.broadcast_to(scale, w.shape)[index]))
            boundary = Boundary(factor * Fraction(float(place[index])), bool(included[index]))
            reached[index] = boundary.reached_by(Fraction(float(w[index])))
    return reached


def plain_integers(constant: Constant) -> QuantizedConstant | None:
    """Weights that are integers already, as FINN's streamlining leaves them; None for others."""
    array = constant.array
    if array.dtype.kind not in "fiu" or not (np.abs(array) <= MAXIMUM_PLAIN_INTEGER).all():
        return None
    codes = array.astype(np.int32)
    if (codes != array).any():
        return None
    return QuantizedConstant((ScaledCodes(codes, fractions(np.ones(1))),))


def summed(left: QuantizedConstant, right: QuantizedConstant, layer: str) -> QuantizedConstant:
    """The sum of two quantized constants: all planes of both.

    Raises:
        UserError: if the shapes differ or the planes get too many.
    """
    planes = left.planes + right.planes
    if left.shape != right.shape or len(planes) > MAXIMUM_PLANES:
        raise UserError(
            f"a sum of {len(planes)} planes of weights of shapes {left.shape} and {right.shape}",
            layer=layer,
            remedy=f"add at most {MAXIMUM_PLANES} quantized weights of the same shape",
        )
    return QuantizedConstant(planes)


def structured_weights(
    constant: QuantizedConstant, input_scale: tuple[Fraction, ...], layer: str, groups: int = 1
) -> tuple[Weights, tuple[Fraction, ...]]:
    """Integer weights and the scale of each output channel.

    Args:
        constant: codes [O, I / groups, ...] with their scales; one plane or more.
        input_scale: scale of the layer's input, one or one per input channel; a scale that differs
            between channels lies along the sum and joins the multipliers.
        layer: for messages.
        groups: of a convolution; each takes its own input channels.

    Returns:
        The weights and the output scale, one Fraction or one per output channel.

    Raises:
        UserError: if the exact multipliers get too wide.
    """
    if len(input_scale) > 1:
        outputs, _, *kernel = constant.shape
        factors = np.array(input_scale, object).reshape(groups, -1, *(1,) * len(kernel))
        factors = factors if groups == 1 else factors.repeat(outputs // groups, axis=0)
        constant = constant.each(lambda p: ScaledCodes(p.codes, p.spread_scale * factors))
    planes = [_positive(plane) for plane in constant.planes]
    divisors, multipliers = [], []
    for output in range(max(len(plane.scale) for plane in planes)):
        row = [plane.scale[output % len(plane.scale)] for plane in planes]
        divisors.append(greatest_common_divisor(chain(*(scale.flat for scale in row))))
        multipliers.append([_multipliers(scale, divisors[-1], layer) for scale in row])
    common = input_scale[0] if len(input_scale) == 1 else Fraction(1)
    output_scale = tuple(divisor * common for divisor in divisors)
    integers = (
        Plane(_smallest(plane.codes), _grouped(np.stack(own)))
        for plane, own in zip(planes, zip(*multipliers, strict=True), strict=True)
    )
    return Weights(tuple(integers)), output_scale


def _positive(plane: ScaledCodes) -> ScaledCodes:
    """Equal weights without negative scales, which have as many axes as the codes."""
    codes, scale = plane.codes, plane.spread_scale
    negative = (scale < 0).astype(bool)
    if not negative.any():
        return ScaledCodes(codes, scale)
    return ScaledCodes(np.where(negative, -codes, codes), abs(scale))


def negated(weights: Weights, channels: NDArray[np.bool_], wider: bool) -> Weights | None:
    """The weights with the marked output channels negated.

    None if a code book would grow, unless it may (`wider`).
    """
    planes = []
    for plane in weights.planes:
        marked = channels.reshape(-1, *(1,) * (plane.codes.ndim - 1))
        codes = np.where(marked, -plane.codes.astype(np.int32), plane.codes)
        flipped = Plane(_smallest(codes), plane.multipliers)
        if flipped.code_bits > plane.code_bits and not wider:
            return None
        planes.append(flipped)
    return Weights(tuple(planes))


def _multipliers(row: Fractions, divisor: Fraction, layer: str) -> Integers:
    """The scales of one output channel (or of all) as integers over their common divisor."""
    if divisor == 0:
        return np.ones(row.shape, np.int64)
    multipliers = of_distinct(lambda scale: int(scale / divisor), row)
    bits = int(multipliers.max()).bit_length()
    if bits > MAXIMUM_MULTIPLIER_BITS:
        raise UserError(
            f"its {row.size} weight scales need integer multipliers of {bits} bits to be exact",
            layer=layer,
            remedy="train the scales in fixed point (qdeploy.quantizers do: 8 bits), "
            "or use one scale per layer or per output channel",
        )
    exact: Integers = multipliers.astype(np.int64)
    return exact


def _grouped(multipliers: Integers) -> Integers:
    """One of equal rows, one of each group of neighbours along axis 1, as large as can be."""
    if (multipliers == multipliers[:1]).all():
        multipliers = multipliers[:1]
    outputs, channels = multipliers.shape[:2]
    for group in range(channels, 1, -1):
        if channels % group == 0:
            blocks = multipliers.reshape(outputs, channels // group, group, *multipliers.shape[2:])
            if (blocks == blocks[:, :, :1]).all():
                return multipliers[:, ::group]
    return multipliers


def _smallest(codes: NDArray[Any]) -> Codes:
    low, high = codes.min(initial=0), codes.max(initial=0)
    if low >= -128 and high <= 127:
        return codes.astype(np.int8)
    if low >= -(1 << 15) and high < 1 << 15:
        return codes.astype(np.int16)
    return codes.astype(np.int32)
