# SPDX-License-Identifier: Apache-2.0
"""A quantized activation: thresholds on integers, or the boundary where reals become integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Meaning, Requantize, Threshold
from qdeploy.lowering import movement
from qdeploy.lowering.affine import along, per_axis
from qdeploy.lowering.inputs import integer_input
from qdeploy.lowering.levels import LISTED_BITS, Quantizer, WideQuantizer
from qdeploy.lowering.monotone import behind
from qdeploy.lowering.requantization import quotient
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.thresholds import Steps, input_levels, input_quantizer, integer_thresholds
from qdeploy.lowering.values import Activation, RealInput, Value
from qdeploy.lowering.walk import Walk

MAXIMUM_BITS = 32
# Wider quantizers become quotients.
THRESHOLD_BITS = 10
# Different boundaries of one layer, as rationals; thresholds, as integers (128 MiB).
MAXIMUM_LISTED = 1 << 22
MAXIMUM_THRESHOLDS = 1 << 24


def quantize_channels(
    walk: Walk,
    node: onnx.NodeProto,
    value: Value,
    quantizer: Callable[..., Quantizer | WideQuantizer],
    *parameters: NDArray[Any],
) -> Activation:
    """Quantize an activation by `quantizer(*parameters)`, one for all or one per channel.

    Raises:
        UserError: if the parameters (scale, zero point) vary along more than one axis.
    """
    shape = _quantizable(node, value).shape
    rows = [per_axis(parameter, shape, node) for parameter in parameters]
    axes = {axis for channels, axis in rows if len(channels) > 1}
    if len(axes) > 1:
        raise UserError(
            f"{node.op_type} (node '{node.name}'): scale and zero point vary along two axes",
            layer=layer_name(node),
            remedy="let both vary along the channels",
        )
    count = max(len(channels) for channels, _ in rows)
    quantizers = [
        quantizer(*(channels[c % len(channels)] for channels, _ in rows)) for c in range(count)
    ]
    return quantize(walk, node, value, quantizers, *axes)


def quantize(
    walk: Walk,
    node: onnx.NodeProto,
    value: Value,
    quantizers: Sequence[Quantizer | WideQuantizer],
    axis: int = 0,
) -> Activation:
    """Append the quantizer of a whole tensor, or one per index of `axis` of its shape.

    Raises:
        UserError: if `value` is constant, or has scales along another axis already.
    """
    value = _quantizable(node, value)
    if isinstance(value, RealInput):
        return _quantize_input(walk, node, value, _listed(node, quantizers), axis)
    x = along(value, axis, len(quantizers), node)
    order = (x.axis, *(axis for axis in range(len(x.shape)) if axis != x.axis))
    if x.uniform and len(quantizers) == 1:
        order = movement.untransposed(walk, x)
    x = movement.transpose(walk, x, order, f"{layer_name(node)}.channels")
    x = walk.with_positive_scale(x)
    y = _requantized(walk, node, x, quantizers) or _compared(walk, node, x, quantizers)
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


def _requantized(
    walk: Walk,
    node: onnx.NodeProto,
    x: Activation,
    quantizers: Sequence[Quantizer | WideQuantizer],
) -> Activation | None:
    """Append a quotient along axis 0 for quantizers of many codes; None if there is none."""
    wide = [quantizer for quantizer in quantizers if isinstance(quantizer, WideQuantizer)]
    found = quotient(x, wide, walk.builder.tensors[x.tensor].range) if wide else None
    if found is None:
        return None
    name = walk.unique(layer_name(node))
    operator = Requantize(
        name=name, input=x.tensor, output=name, origin=(node.name,), quotient=found
    )
    return _meant(walk, walk.add(operator, x.scale), quantizers)


def _compared(
    walk: Walk,
    node: onnx.NodeProto,
    x: Activation,
    quantizers: Sequence[Quantizer | WideQuantizer],
) -> Activation:
    """Append thresholds along axis 0."""
    channels, codes = max(len(quantizers), x.channels), quantizers[0].range
    if channels * (codes.high - codes.low) > MAXIMUM_THRESHOLDS:
        raise UserError(
            f"{node.op_type} (node '{node.name}') of {codes.bits} bits fits no 64-bit arithmetic "
            f"and would compare with {codes.high - codes.low} thresholds in {channels} channels",
            layer=layer_name(node),
            remedy="use fewer bits, power-of-two scales, or Relu in place of LeakyRelu",
        )
    listed = _listed(node, quantizers)
    rows = max(len(listed), *map(len, x.functions), 1)
    before = [behind(listed[c % len(listed)], x.functions_of(c)) for c in range(rows)]
    source = walk.builder.tensors[x.tensor]
    steps = integer_thresholds(before, x.scale, x.offset, source.range)
    return _threshold(walk, node, x, steps, listed)


def _listed(
    node: onnx.NodeProto, quantizers: Sequence[Quantizer | WideQuantizer]
) -> list[Quantizer]:
    """The quantizers with all their boundaries.

    Raises:
        UserError: if they are too many.
    """
    bits = quantizers[0].range.bits
    if bits > LISTED_BITS or len(quantizers) << bits > MAXIMUM_LISTED:
        raise UserError(
            f"{node.op_type} (node '{node.name}') with {bits} bits has too many boundaries "
            f"({len(quantizers)} times)",
            layer=layer_name(node),
            remedy=f"use at most {LISTED_BITS} bits and one scale for the network's input",
        )
    return [q.levels() if isinstance(q, WideQuantizer) else q for q in quantizers]


def _threshold(
    walk: Walk, node: onnx.NodeProto, x: Activation, steps: Steps, quantizers: Sequence[Quantizer]
) -> Activation:
    """Append the thresholds along axis 0; their output means what the quantizers say."""
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
    return _meant(walk, walk.add(operator, x.scale), quantizers)


def _meant(
    walk: Walk, y: Activation, quantizers: Sequence[Quantizer | WideQuantizer]
) -> Activation:
    """`y`, which holds codes of the quantizers, with their meaning."""
    scale, offset = _meaning(quantizers)
    walk.builder.set_meaning(y.tensor, Meaning(scale, offset))
    return replace(y, scale=scale, offset=offset)


def _meaning(
    quantizers: Sequence[Quantizer | WideQuantizer],
) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
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
    functions = [function for (function,) in value.functions]
    before = [behind(quantizer, functions) for quantizer in quantizers]
    if len(quantizers) == 1 and value.scale > 0:
        boundary = input_quantizer(before[0], value.scale, value.offset)
        return integer_input(walk, node, value, boundary, Meaning(*_meaning(quantizers)))
    boundary, steps = input_levels(before, (value.scale,), (value.offset,))
    x = integer_input(walk, node, value, boundary, Meaning())
    if len(boundary.boundaries) >= 1 << LISTED_BITS:
        raise UserError(
            f"the channels of the input have {len(boundary.boundaries)} levels together "
            f"(node '{node.name}')",
            layer=layer_name(node),
            remedy="quantize the network's input with one scale for all channels",
        )
    order = (axis, *(k for k in range(len(x.shape)) if k != axis))
    x = movement.transpose(walk, x, order, f"{layer_name(node)}.channels")
    y = _threshold(walk, node, x, steps, quantizers)
    back = tuple(order.index(k) for k in range(len(order)))
    return movement.transpose(walk, y, back, f"{layer_name(node)}.back")
