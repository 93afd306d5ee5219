# SPDX-License-Identifier: Apache-2.0
"""Quant and BipolarQuant: weights become codes, activations become integer thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import InputQuantizer, Meaning, Threshold, ValueRange
from qdeploy.lowering import movement
from qdeploy.lowering.affine import per_axis
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import fractions
from qdeploy.lowering.levels import (
    ROUNDING,
    Quantizer,
    Rounding,
    bipolar,
    code_range,
    sign,
    uniform,
)
from qdeploy.lowering.monotone import behind
from qdeploy.lowering.source import IntegerType, layer_name
from qdeploy.lowering.thresholds import Steps, input_levels, input_quantizer, integer_thresholds
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, RealInput, Value
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import collapsed, quantized_weights

MAXIMUM_BITS = 16
NO_ZERO_POINT = np.zeros((), np.float32)


@handles("Quant")
def quant(walk: Walk, node: onnx.NodeProto) -> Value:
    """QONNX Quant: inputs x, scale, zero point, bit width."""
    scale = scale_of(walk, node, 1)
    zero_point = collapsed(walk.array(node, 2))
    bits = integer_of(walk, node, 3, "bit width")
    given = attributes(node)
    rounding = str(given.get("rounding_mode", "ROUND")).upper()
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
        return quantize_channels(
            walk,
            node,
            value,
            lambda s, z: uniform(bits, signed, narrow, s, z, rounding),
            scale,
            zero_point,
        )
    _require_broadcast(walk, node, value, 1, 2)
    if bits == 1 and signed:
        return _bipolar_weights(value.array, scale, zero_point, node)
    codes = code_range(bits, signed, narrow)
    return constant_codes(value.array, scale, zero_point, codes, ROUNDING[rounding], node)


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
) -> QuantizedConstant:
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
        return QuantizedConstant(2 * signs.codes - 1, signs.scale)
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
    return QuantizedConstant(shifted.codes, shifted.scale * fractions(scale))


def quantize_channels(
    walk: Walk,
    node: onnx.NodeProto,
    value: Value,
    quantizer: Callable[[Fraction, Fraction], Quantizer],
    scale: NDArray[Any],
    zero_point: NDArray[Any],
) -> Activation:
    """Quantize an activation by `quantizer(scale, zero point)`, one for all or one per channel.

    Raises:
        UserError: if scale and zero point vary along more than one axis.
    """
    shape = _quantizable(node, value).shape
    scales, axis = per_axis(scale, shape, node)
    zeros, other = per_axis(zero_point, shape, node)
    if len(scales) > 1 and len(zeros) > 1 and axis != other:
        raise UserError(
            f"{node.op_type} (node '{node.name}'): scale and zero point vary along two axes",
            layer=layer_name(node),
            remedy="let both vary along the channels",
        )
    count = max(len(scales), len(zeros))
    pairs = [(scales[c % len(scales)], zeros[c % len(zeros)]) for c in range(count)]
    quantizers = [quantizer(s, z) for s, z in pairs]
    return quantize(walk, node, value, quantizers, axis if len(scales) > 1 else other)


def quantize(
    walk: Walk, node: onnx.NodeProto, value: Value, quantizers: Sequence[Quantizer], axis: int = 0
) -> Activation:
    """Append the quantizer of a whole tensor, or one per index of `axis` of its shape.

    Raises:
        UserError: if `value` is constant, or has scales along another axis already.
    """
    value = _quantizable(node, value)
    if isinstance(value, RealInput):
        return _quantize_input(walk, node, value, quantizers, axis)
    x = walk.with_positive_scale(value)
    if x.uniform:
        x = replace(x, axis=axis)
    elif len(quantizers) > 1 and axis != x.axis:
        raise UserError(
            f"{node.op_type} (node '{node.name}') varies along axis {axis + 1}, the scales before "
            f"it along axis {x.axis + 1}",
            layer=layer_name(node),
            remedy="use one scale per tensor, or scales along the same axis",
        )
    order = (x.axis, *(axis for axis in range(len(x.shape)) if axis != x.axis))
    if x.uniform and len(quantizers) == 1:
        order = tuple(range(len(x.shape)))
    x = movement.transpose(walk, x, order, f"{layer_name(node)}.channels")
    before = [behind(quantizer, x.functions) for quantizer in quantizers]
    source = walk.builder.tensors[x.tensor]
    steps = integer_thresholds(before, x.scale, x.offset, source.range)
    y = _threshold(walk, node, x, steps, quantizers)
    back = tuple(order.index(axis) for axis in range(len(order)))
    return movement.transpose(walk, y, back, f"{layer_name(node)}.back")


def _quantizable(node: onnx.NodeProto, value: Value) -> Activation | RealInput:
    if isinstance(value, (Activation, RealInput)):
        return value
    raise UserError(
        f"{node.op_type} (node '{node.name}') of a constant that is quantized already",
        layer=layer_name(node),
        remedy="quantize weights once",
    )


def _threshold(
    walk: Walk, node: onnx.NodeProto, x: Activation, steps: Steps, quantizers: Sequence[Quantizer]
) -> Activation:
    """Append the thresholds along axis 0; their output means what the quantizers say."""
    scale, offset = _meaning(quantizers)
    name = walk.unique(layer_name(node))
    thresholds, base, step = steps
    operator = Threshold(
        name=name,
        input=x.tensor,
        output=name,
        origin=(node.name,),
        thresholds=thresholds,
        base=base,
        step=step,
    )
    y = walk.add(operator, scale)
    walk.builder.set_meaning(y.tensor, Meaning(scale, offset))
    return replace(y, offset=offset)


def _meaning(quantizers: Sequence[Quantizer]) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    scale = tuple(q.scale for q in quantizers)
    offset = tuple(q.offset for q in quantizers)
    return scale[: len(set(scale)) if len(set(scale)) == 1 else None], (
        offset[:1] if len(set(offset)) == 1 else offset
    )


def _quantize_input(
    walk: Walk,
    node: onnx.NodeProto,
    value: RealInput,
    quantizers: Sequence[Quantizer],
    axis: int,
) -> Activation:
    if not value.scale:
        raise UserError(
            f"the input is multiplied by 0 before node '{node.name}'",
            layer=layer_name(node),
            remedy="check the constants of the source model",
        )
    if len(quantizers) == 1 and value.scale > 0:
        (plain,) = quantizers
        boundary = input_quantizer(plain, value.scale, value.offset)
        scale, offset = _meaning(quantizers)
        return _input(walk, node, value, boundary, plain.range, Meaning(scale, offset))
    boundary, steps = input_levels(quantizers, (value.scale,), (value.offset,))
    levels = ValueRange(0, len(boundary.boundaries))
    x = _input(walk, node, value, boundary, levels, Meaning())
    order = (axis, *(k for k in range(len(x.shape)) if k != axis))
    x = movement.transpose(walk, x, order, f"{layer_name(node)}.channels")
    y = _threshold(walk, node, x, steps, quantizers)
    back = tuple(order.index(k) for k in range(len(order)))
    return movement.transpose(walk, y, back, f"{layer_name(node)}.back")


def _input(
    walk: Walk,
    node: onnx.NodeProto,
    value: RealInput,
    quantizer: InputQuantizer,
    codes: ValueRange,
    meaning: Meaning,
) -> Activation:
    """The network's integer input, in the shape it has at `node`; equal quantizers share it."""
    name, shape, first = walk.source.input, walk.source.input_shape, walk.quantizer
    if first is None:
        walk.quantizer = quantizer
        walk.unique(name)
        walk.builder.input(name, shape, codes, meaning.scale[0])
        walk.builder.set_meaning(name, meaning)
    elif (first.low, first.step) != (quantizer.low, quantizer.step) or not np.array_equal(
        first.boundaries, quantizer.boundaries
    ):
        raise UserError(
            f"the input is quantized twice, and differently (node '{node.name}')",
            layer=layer_name(node),
            remedy="quantize the network's input once, before everything else",
        )
    if codes.bits > MAXIMUM_BITS:
        raise UserError(
            f"the channels of the input have {codes.high} levels together (node '{node.name}')",
            layer=layer_name(node),
            remedy="quantize the network's input with one scale for all channels",
        )
    return movement.replay(walk, Activation(name, shape, meaning.scale, meaning.offset), value)


def annotated_input(walk: Walk, integers: IntegerType) -> Activation:
    """The network's input where the file says that it holds integers: exact codes, no quantizer.

    Boundaries lie halfway between the integers, so that a float a little off still counts.
    """
    name, shape = walk.source.input, walk.source.input_shape
    ends = np.arange(integers.low, integers.high, integers.step) + integers.step / 2
    walk.quantizer = InputQuantizer(ends.astype(np.float32), integers.low, integers.step)
    walk.unique(name)
    codes = ValueRange(integers.low, integers.high)
    walk.builder.input(name, shape, codes, Fraction(1))
    return Activation(name, shape, (Fraction(1),))


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
