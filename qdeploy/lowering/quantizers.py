# SPDX-License-Identifier: Apache-2.0
"""Quant and BipolarQuant: weights become codes, activations become integer thresholds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Threshold
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import Fractions, fractions
from qdeploy.lowering.monotone import behind
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.thresholds import (
    ROUNDING,
    Quantizer,
    bipolar,
    input_quantizer,
    integer_thresholds,
    uniform,
)
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, RealInput, Value
from qdeploy.lowering.walk import Walk, handles

MAXIMUM_BITS = 16


@handles("Quant")
def quant(walk: Walk, node: onnx.NodeProto) -> Value:
    """QONNX Quant: inputs x, scale, zero point, bit width."""
    scale = _scale(walk, node)
    zero_point = _integer(walk, node, 2, "zero point")
    bits = _integer(walk, node, 3, "bit width")
    given = attributes(node)
    rounding = str(given.get("rounding_mode", "ROUND")).upper()
    if not 1 <= bits <= MAXIMUM_BITS or abs(zero_point) > 1 << bits or rounding not in ROUNDING:
        raise UserError(
            f"Quant (node '{node.name}') with {bits} bits, zero point {zero_point} and "
            f"rounding mode {rounding}",
            layer=layer_name(node),
            remedy=f"use 1 to {MAXIMUM_BITS} bits, a zero point within them, and one of "
            f"{', '.join(ROUNDING)}",
        )
    signed, narrow = bool(given.get("signed", 1)), bool(given.get("narrow", 0))
    value = walk.value(node)
    if isinstance(value, Constant):
        one = uniform(bits, signed, narrow, Fraction(1), zero_point, rounding)
        return QuantizedConstant(_codes(value.array, scale, one, node), scale)
    quantizer = uniform(bits, signed, narrow, _single(scale, node), zero_point, rounding)
    return _quantize(walk, node, value, quantizer)


@handles("BipolarQuant")
def bipolar_quant(walk: Walk, node: onnx.NodeProto) -> Value:
    """QONNX BipolarQuant: inputs x, scale."""
    scale = _scale(walk, node)
    value = walk.value(node)
    if isinstance(value, Constant):
        return QuantizedConstant(_codes(value.array, scale, bipolar(Fraction(1)), node), scale)
    return _quantize(walk, node, value, bipolar(_single(scale, node)))


def _codes(
    array: NDArray[Any], scale: Fractions, quantizer: Quantizer, node: onnx.NodeProto
) -> NDArray[np.int32]:
    """Codes of constant weights, decided in rationals where float64 could round onto a boundary."""
    weights = np.asarray(array, np.float64)
    if not np.isfinite(weights).all():
        raise UserError(
            f"the weights of node '{node.name}' are not finite",
            layer=layer_name(node),
            remedy="the training diverged; train again",
        )
    try:
        scaled = weights / scale.astype(np.float64)
        divisor = np.broadcast_to(scale, weights.shape)
    except ValueError as error:
        raise UserError(
            f"a scale of shape {scale.shape} for weights of shape {weights.shape}",
            layer=layer_name(node),
            remedy="the scale must broadcast to the weights",
        ) from error
    boundaries = np.array([float(b.value) for b in quantizer.boundaries])
    count = np.searchsorted(boundaries, scaled, side="right")
    padded = np.concatenate([[-np.inf], boundaries, [np.inf]])
    nearest = np.minimum(scaled - padded[count], padded[count + 1] - scaled)
    for index in zip(*np.nonzero(nearest < 1e-9 * (1 + np.abs(scaled))), strict=True):
        exact = Fraction(float(weights[index])) / divisor[index]
        count[index] = sum(
            exact > b.value or (b.included and exact == b.value) for b in quantizer.boundaries
        )
    codes: NDArray[np.int32] = (quantizer.low + quantizer.step * count).astype(np.int32)
    return codes


def _quantize(walk: Walk, node: onnx.NodeProto, value: Value, quantizer: Quantizer) -> Activation:
    if isinstance(value, RealInput):
        return _input(walk, node, value, quantizer)
    if not isinstance(value, Activation):
        raise UserError(
            f"{node.op_type} (node '{node.name}') of a quantized constant",
            layer=layer_name(node),
            remedy="quantize weights once",
        )
    x = walk.with_positive_scale(value)
    quantizer = behind(quantizer, x.functions)
    order = (x.axis, *(axis for axis in range(len(x.shape)) if axis != x.axis))
    x = walk.transpose(x, order, f"{layer_name(node)}.channels")
    source = walk.builder.tensors[x.tensor]
    thresholds, base, step = integer_thresholds(quantizer, x.scale, x.offset, source.range)
    name = walk.unique(layer_name(node))
    operator = Threshold(
        name=name,
        input=x.tensor,
        output=name,
        origin=(node.name,),
        thresholds=thresholds,
        base=base,
        step=step,
    )
    y = walk.add(operator, (quantizer.scale,))
    back = tuple(order.index(axis) for axis in range(len(order)))
    return walk.transpose(y, back, f"{layer_name(node)}.back")


def _input(walk: Walk, node: onnx.NodeProto, value: RealInput, quantizer: Quantizer) -> Activation:
    if walk.quantizer is not None or value.scale <= 0:
        raise UserError(
            f"the input is quantized {'twice' if walk.quantizer else 'after a negative factor'} "
            f"(node '{node.name}')",
            layer=layer_name(node),
            remedy="quantize the network's input once, before everything else",
        )
    walk.quantizer = input_quantizer(quantizer, value.scale, value.offset)
    scale = (quantizer.scale,)
    shape = walk.source.input_shape
    walk.unique(walk.source.input)
    tensor = walk.builder.input(walk.source.input, shape, quantizer.range, quantizer.scale)
    return walk.replay(Activation(tensor.name, shape, scale), value)


def _scale(walk: Walk, node: onnx.NodeProto) -> Fractions:
    try:
        scale = fractions(walk.array(node, 1))
    except ValueError as error:
        raise UserError(
            f"the scale of node '{node.name}' is {error}",
            layer=layer_name(node),
            remedy="the training diverged; train again",
        ) from error
    if scale.size == 0 or min(scale.ravel()) <= 0:
        raise UserError(
            f"the scale of node '{node.name}' is not positive",
            layer=layer_name(node),
            remedy="train again with positive scales",
        )
    return scale


def _single(scale: Fractions, node: onnx.NodeProto) -> Fraction:
    values = set(scale.ravel())
    if len(values) != 1:
        raise UserError(
            f"the activation quantizer '{node.name}' has {scale.size} scales",
            layer=layer_name(node),
            remedy="use one scale per tensor for activations",
        )
    return Fraction(values.pop())


def _integer(walk: Walk, node: onnx.NodeProto, index: int, what: str) -> int:
    array = walk.array(node, index)
    value = float(array.ravel()[0]) if array.size == 1 else float("nan")
    if not value.is_integer():
        raise UserError(
            f"the {what} of node '{node.name}' is {array.ravel()[:4]}",
            layer=layer_name(node),
            remedy=f"use one integer {what} per tensor",
        )
    return int(value)
