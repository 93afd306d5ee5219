# SPDX-License-Identifier: Apache-2.0
"""Trunc: fewer bits of an integer, mostly of the sum in an average pooling.

With k = round_half_even(x / scale + zero_point), the code is j = round(k / 2^shift). For integers
k it reaches j from an integer K(j) on, so x / scale + zero_point reaches it at K(j) - 1/2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import ValueRange
from qdeploy.lowering.activations import quantize_channels
from qdeploy.lowering.affine import per_axis
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.levels import (
    LISTED_BITS,
    ROUNDING,
    Quantizer,
    code_range,
    half_even,
    levels,
    rounded,
)
from qdeploy.lowering.quantizers import integer_of, scale_of
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles

MAXIMUM_SHIFT = 32


@handles("Trunc")
def trunc(walk: Walk, node: onnx.NodeProto) -> Activation:
    """QONNX Trunc 1 (five inputs) and 2 (six).

    1: x, scale, zero point, input bits, output bits: shift = input bits - output bits, no limits,
       and code j means scale · (j - zero point).
    2: x, scale, zero point, input bits, output scale, output bits: 2^shift is the power of two
       nearest to output scale / scale, codes are limited to the output bits, and j means
       output scale · (j - zero point / 2^shift).
    """
    scale, zero_point = scale_of(walk, node, 1), walk.array(node, 2)
    given = attributes(node)
    rounding = str(given.get("rounding_mode", "FLOOR")).upper()
    if rounding not in ROUNDING:
        raise _unsupported(node, f"with rounding mode {rounding}")
    if len(node.input) == 6:
        bits = integer_of(walk, node, 5, "bit width")
        if not 1 <= bits <= LISTED_BITS:
            raise _unsupported(node, f"to {bits} bits")
        codes = code_range(bits, bool(given.get("signed", 1)), bool(given.get("narrow", 0)))

        def rescaled(s: Fraction, z: Fraction, output_scale: Fraction) -> Quantizer:
            shift = _nearest_power(output_scale / s)
            if abs(shift) > MAXIMUM_SHIFT:
                raise _unsupported(node, f"by {shift} bits")
            end = z / Fraction(2) ** shift
            return _truncated(codes, shift, rounding, s, z, (output_scale, end))

        output_scale = scale_of(walk, node, 4)
        value = walk.value(node)
        return quantize_channels(walk, node, value, rescaled, scale, zero_point, output_scale)
    shift = integer_of(walk, node, 3, "bit width") - integer_of(walk, node, 4, "bit width")
    if abs(shift) > MAXIMUM_SHIFT:
        raise _unsupported(node, f"by {shift} bits")
    x = walk.activation(node)
    reached = _reached(walk, node, x, shift, rounding)
    return quantize_channels(
        walk,
        node,
        x,
        lambda s, z: _truncated(reached, shift, rounding, s, z, (s, z)),
        scale,
        zero_point,
    )


def _truncated(
    codes: ValueRange,
    shift: int,
    rounding: str,
    scale: Fraction,
    zero_point: Fraction,
    output: tuple[Fraction, Fraction],
) -> Quantizer:
    """The quantizer whose codes mean output scale · (code - output zero point)."""
    ends, on_it = ROUNDING[rounding](np.arange(codes.low + 1, codes.high + 1))
    # The end of a code's interval is ends / 2 · 2^shift = numerator / denominator.
    numerator, denominator = ends << max(shift - 1, 0), 1 << max(1 - shift, 0)
    first = np.where(on_it, -(-numerator // denominator), numerator // denominator + 1)
    halves, included = half_even(first)
    before = rounded(codes, halves, included, scale, zero_point)
    output_scale, output_zero = output
    plain = levels(
        (codes.low - output_zero) * output_scale, output_scale, codes.high - codes.low + 1
    )
    return replace(plain, unit=before.unit, positions=before.positions, included=included)


def _reached(
    walk: Walk, node: onnx.NodeProto, x: Activation, shift: int, rounding: str
) -> ValueRange:
    """The codes that the input can reach, from its smallest to its largest value."""
    source = walk.builder.tensors[x.tensor].range
    scales, _ = per_axis(walk.array(node, 1), x.shape, node)
    zero_points, _ = per_axis(walk.array(node, 2), x.shape, node)
    channels = max(len(x.scale), len(x.offset))
    values = [
        x.scale[c % len(x.scale)] * end + x.offset[c % len(x.offset)]
        for c in range(channels)
        for end in (source.low, source.high)
    ]
    corners = list(
        product(
            (min(values), max(values)),
            (min(scales), max(scales)),
            (min(zero_points), max(zero_points)),
        )
    )
    ends = [(value / s + z) / Fraction(2) ** shift for value, s, z in corners]
    margin = 2 + (1 << max(-shift, 0))
    loose = ValueRange(math.floor(min(ends)) - margin, math.ceil(max(ends)) + margin)
    if loose.bits > LISTED_BITS:
        raise _unsupported(node, f"leaves {loose.bits} bits")
    codes = [
        loose.low
        + sum(
            boundary.reached_by(value)
            for boundary in _truncated(loose, shift, rounding, s, z, (s, z)).boundaries
        )
        for value, s, z in corners
    ]
    return ValueRange(min(codes), max(codes))


def _nearest_power(ratio: Fraction) -> int:
    """The nearest integer to the base-2 logarithm; no rational lies halfway."""
    power = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    while Fraction(4) ** power * 2 < ratio**2:
        power += 1
    while Fraction(4) ** power > 2 * ratio**2:
        power -= 1
    return power


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"Trunc (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy=f"truncate quantized values to at most {LISTED_BITS} bits, by at most "
        f"{MAXIMUM_SHIFT}, with one of {', '.join(ROUNDING)}",
    )
