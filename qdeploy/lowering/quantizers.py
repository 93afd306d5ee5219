# SPDX-License-Identifier: Apache-2.0
"""Quant and BipolarQuant: weights become codes, activations become integer thresholds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import ValueRange
from qdeploy.lowering.activations import MAXIMUM_BITS, THRESHOLD_BITS, quantize_channels
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import collapsed, fractions
from qdeploy.lowering.levels import (
    ROUNDING,
    SYNONYMS,
    Quantizer,
    Rounding,
    WideQuantizer,
    bipolar,
    code_range,
    sign,
    uniform,
)
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Constant, QuantizedConstant, ScaledCodes, Value
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import quantized_weights

NO_ZERO_POINT = np.zeros((), np.float32)


@handles("Quant")
def quant(walk: Walk, node: onnx.NodeProto) -> Value:
    """QONNX Quant: inputs x, scale, zero point, bit width."""
    scale = scale_of(walk, node, 1)
    zero_point = collapsed(walk.array(node, 2))
    bits = integer_of(walk, node, 3, "bit width")
    given = attributes(node)
    rounding = str(given.get("rounding_mode", "ROUND")).upper()
    rounding = SYNONYMS.get(rounding, rounding)
    largest = float(np.abs(zero_point).max(initial=0))
    if (
        not 1 <= bits <= MAXIMUM_BITS
        or not largest <= 1 << MAXIMUM_BITS
        or rounding not in ROUNDING
    ):
        raise UserError(
            f"Quant (node '{node.name}') with {bits} bits, zero point {largest:g} and "
            f"rounding mode {rounding}",
            layer=layer_name(node),
            remedy=f"use 1 to {MAXIMUM_BITS} bits, a zero point within them, and one of "
            f"{', '.join(ROUNDING)}",
        )
    flags = given.get("signed", 1), given.get("narrow", 0)
    if not set(flags) <= {0, 1}:
        raise ValueError(f"signed and narrow are {flags}")
    signed, narrow = map(bool, flags)
    value = walk.value(node)
    if not isinstance(value, Constant):

        def quantizer(s: Fraction, z: Fraction) -> Quantizer | WideQuantizer:
            if bits <= THRESHOLD_BITS:
                return uniform(bits, signed, narrow, s, z, rounding)
            return WideQuantizer(code_range(bits, signed, narrow), s, z, rounding, s, -z * s)

        return quantize_channels(walk, node, value, quantizer, scale, zero_point)
    _require_broadcast(walk, node, value, 1, 2)
    if bits == 1 and signed:
        return _bipolar_weights(value.array, scale, zero_point, node)
    codes = code_range(bits, signed, narrow)
    plane = constant_codes(value.array, scale, zero_point, codes, ROUNDING[rounding], node)
    return QuantizedConstant((plane,))


@handles("BipolarQuant")
def bipolar_quant(walk: Walk, node: onnx.NodeProto) -> Value:
    """QONNX BipolarQuant: inputs x, scale."""
    scale = scale_of(walk, node, 1)
    value = walk.value(node)
    if isinstance(value, Constant):
        _require_broadcast(walk, node, value, 1)
        return _bipolar_weights(value.array, scale, NO_ZERO_POINT, node)
    return quantize_channels(walk, node, value, bipolar, scale, NO_ZERO_POINT)


def _require_broadcast(
    walk: Walk, node: onnx.NodeProto, weights: Constant, *parameters: int
) -> None:
    """Scale and zero point must not enlarge the weights, as the executor would."""
    for index in parameters:
        shape = walk.array(node, index).shape
        if np.broadcast_shapes(weights.array.shape, shape) != weights.array.shape:
            raise ValueError(f"shape {shape} for weights of shape {weights.array.shape}")


def constant_codes(
    array: NDArray[Any],
    scale: NDArray[Any],
    zero_point: NDArray[Any],
    codes: ValueRange,
    rounding: Rounding,
    node: onnx.NodeProto,
) -> ScaledCodes:
    """`quantized_weights` of the constant that `node` quantizes.

    Raises:
        UserError: if they have no codes.
    """
    try:
        if array.dtype.kind not in "fiu":
            raise ValueError(f"they are of type {array.dtype}")
        return quantized_weights(array, scale, zero_point, codes, rounding)
    except ValueError as error:
        raise UserError(
            f"the weights of {node.op_type} (node '{node.name}'): {error}",
            layer=layer_name(node),
            remedy="check that the training converged and that the scale broadcasts to the weights",
        ) from error


def _bipolar_weights(
    array: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any], node: onnx.NodeProto
) -> QuantizedConstant:
    """Weights (±1 - zero point) · scale: +1 where weight / scale + zero point >= 0."""
    if not zero_point.any():
        signs = constant_codes(array, scale, zero_point, ValueRange(0, 1), sign, node)
        return QuantizedConstant((ScaledCodes(2 * signs.codes - 1, signs.scale),))
    zero = zero_point.astype(np.float64)
    positive = np.asarray(array, np.float64) >= -zero * scale.astype(np.float64)
    shifted = constant_codes(
        np.where(positive, 1.0, -1.0) - zero,
        np.ones((), np.float32),
        zero_point,
        ValueRange(-1, 1),
        ROUNDING["ROUND"],
        node,
    )
    return QuantizedConstant((ScaledCodes(shifted.codes, shifted.scale * fractions(scale)),))


def scale_of(walk: Walk, node: onnx.NodeProto, index: int) -> NDArray[Any]:
    """Input `index` as positive scales; axes along which they are equal have length 1.

    Raises:
        UserError: if a scale is not finite or not positive.
    """
    scale = collapsed(walk.array(node, index))
    if not np.isfinite(scale).all():
        raise UserError(
            f"the scale of node '{node.name}' is {scale[~np.isfinite(scale)].ravel()[0]}",
            layer=layer_name(node),
            remedy="the training diverged; train again",
        )
    if scale.size == 0 or scale.min() <= 0:
        raise UserError(
            f"the scale of node '{node.name}' is not positive",
            layer=layer_name(node),
            remedy="train again with positive scales",
        )
    return scale


def integer_of(walk: Walk, node: onnx.NodeProto, index: int, what: str) -> int:
    """Input `index` as one integer.

    Raises:
        UserError: if it is none.
    """
    array = walk.array(node, index)
    value = float(array.ravel()[0]) if array.size == 1 else float("nan")
    if not value.is_integer():
        raise UserError(
            f"the {what} of node '{node.name}' is {array.ravel()[:4]}",
            layer=layer_name(node),
            remedy=f"use one integer {what} per tensor",
        )
    return int(value)
