# SPDX-License-Identifier: Apache-2.0
"""A quantized activation: thresholds on integers, or the boundary where reals become integers."""

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
from qdeploy.lowering.levels import Quantizer
from qdeploy.lowering.monotone import behind
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.thresholds import Steps, input_levels, input_quantizer, integer_thresholds
from qdeploy.lowering.values import Activation, RealInput, Value
from qdeploy.lowering.walk import Walk

MAXIMUM_BITS = 16


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
