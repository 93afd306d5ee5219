# SPDX-License-Identifier: Apache-2.0
"""Conv, MatMul and Gemm: codes stay, scales multiply, biases and offsets become offsets."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Flatten, Linear, Transpose, Weights
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.biases import with_bias
from qdeploy.lowering.shapes import padding
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import plain_integers, structured_weights
from qdeploy.lowering.windows import Window, window


@handles("Conv")
def convolution(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Conv 1..22, one or two spatial axes."""
    layer = layer_name(node)
    x, weights = operands(walk, node)
    rank = len(weights.shape) - 2
    if rank not in (1, 2) or len(x.shape) != rank + 1:
        raise UserError(
            f"a convolution of an input of shape {x.shape} with weights {weights.shape}",
            layer=layer,
            remedy="only 1-D and 2-D convolutions are supported",
        )
    given = attributes(node)
    kernel = given.get("kernel_shape")
    if kernel is not None and tuple(kernel) != weights.shape[2:]:
        raise UserError(
            f"kernel_shape {kernel} for weights of shape {weights.shape}",
            layer=layer,
            remedy="export the model again",
        )
    frame = window(node, x.shape[1:], weights.shape[2:])
    y = convolved(walk, node, x, weights, frame)
    return with_bias(walk, node, y) if len(node.input) > 2 and node.input[2] else y


def convolved(
    walk: Walk, node: onnx.NodeProto, x: Activation, weights: QuantizedConstant, frame: Window
) -> Activation:
    """Append the convolution of `x` with weights [O, I / groups, kernel], without a bias."""
    layer, rank = layer_name(node), len(x.shape) - 1
    groups = attributes(node).get("group", 1)
    if not x.uniform and x.axis != 0:
        raise _needs_quantizer(node, "a scale per channel, which this convolution cannot take in")
    code = 0
    if any(frame.pads):
        x, code = padding(walk, node, x, Fraction(0))
    image = x
    if rank == 1:
        image = movement.reshape(walk, x, (x.shape[0], 1, x.shape[1]), f"{layer}.image")
        weights = weights.viewed(lambda array: array[:, :, np.newaxis])
    _check_groups(node, x, weights, groups)
    integer_weights, scale = structured_weights(weights, x.scale, layer, groups)
    name = walk.unique(layer)
    operator = Convolution(
        name=name,
        input=image.tensor,
        output=name,
        origin=(node.name,),
        weights=integer_weights,
        strides=frame.strides,
        pads=frame.pads,
        dilations=frame.dilations,
        groups=groups,
        pad_code=code,
    )
    y = walk.add(operator, scale)
    y = replace(y, offset=_carried_offset(node, x, integer_weights, scale, groups))
    if rank == 1:
        y = movement.reshape(walk, y, (y.shape[0], y.shape[2]), f"{layer}.signal")
    return y


@handles("MatMul")
def matmul(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX MatMul 1..13: [..., I] times weights [I, O], or weights [O, I] times [I, T]."""
    left, right = walk.value(node), walk.value(node, 1)
    if isinstance(left, (Constant, QuantizedConstant)) and isinstance(right, Activation):
        x, weights = operands(walk, node, 1, 0)
        if len(x.shape) != 2:
            raise UserError(
                f"weights times an input of shape {x.shape}",
                layer=layer_name(node),
                remedy="write the layer as torch.nn.Linear",
            )
        turned = movement.transpose(walk, x, (1, 0), f"{layer_name(node)}.turned")
        y = _linear(walk, node, turned, weights)
        return movement.transpose(walk, y, (1, 0), f"{layer_name(node)}.back")
    x, weights = operands(walk, node)
    return _linear(walk, node, x, weights.viewed(np.transpose))


@handles("Gemm")
def gemm(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Gemm 7..13: alpha · x · W' + beta · bias."""
    given = attributes(node)
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
        raise UserError(
            "Gemm with transA, alpha or beta",
            layer=layer_name(node),
            remedy="write the layer as torch.nn.Linear",
        )
    x, weights = operands(walk, node)
    y = _linear(walk, node, x, weights if given.get("transB", 0) else weights.viewed(np.transpose))
    return with_bias(walk, node, y) if len(node.input) > 2 and node.input[2] else y


def operands(
    walk: Walk, node: onnx.NodeProto, data: int = 0, parameters: int = 1
) -> tuple[Activation, QuantizedConstant]:
    """The activation and the weights of a layer.

    Raises:
        UserError: if the weights are not quantized or empty.
    """
    x = walk.activation(node, data)
    weights = walk.value(node, parameters)
    if isinstance(weights, Constant):
        weights = plain_integers(weights) or weights
    if not isinstance(weights, QuantizedConstant):
        raise UserError(
            f"{node.op_type} (node '{node.name}') has float weights",
            layer=layer_name(node),
            remedy="use a quantized layer, for instance brevitas.nn.QuantConv2d or QuantLinear "
            "with weight_quant=SyqTernaryPixel",
        )
    if 0 in weights.shape:
        raise UserError(
            f"{node.op_type} (node '{node.name}') has no weights",
            layer=layer_name(node),
            remedy="export the model again",
        )
    return x, weights


def _carried_offset(
    node: onnx.NodeProto,
    x: Activation,
    weights: Weights,
    scale: tuple[Fraction, ...],
    groups: int = 1,
) -> tuple[Fraction, ...]:
    """What the offset of the input adds to each output channel.

    W (s·x + o) = W s·x + W o: with W s = u · a (a the integer weights), W o = u · Σ a · (o / s).
    Padding stands for real 0, so it adds nothing and the sum is the same at the border.
    """
    if not any(x.offset):
        return (Fraction(0),)
    sums = weights.integers().sum(axis=tuple(range(2, len(weights.shape))))
    channels = max(len(x.scale), len(x.offset))
    if 0 in x.scale:
        raise _needs_quantizer(node, "a scale of 0")
    ratios = [x.offset[c % len(x.offset)] / x.scale[c % len(x.scale)] for c in range(channels)]
    if channels == 1:
        carried = [int(total) * ratios[0] for total in sums.sum(axis=1)]
    else:
        outputs, inputs = sums.shape
        first = [o * groups // outputs * inputs for o in range(outputs)]
        carried = [
            sum((int(a) * r for a, r in zip(row, ratios[f : f + inputs], strict=True)), Fraction(0))
            for row, f in zip(sums, first, strict=True)
        ]
    return tuple(value * scale[o % len(scale)] for o, value in enumerate(carried))


def _check_groups(
    node: onnx.NodeProto, x: Activation, weights: QuantizedConstant, groups: int
) -> None:
    outputs, inputs = weights.shape[:2]
    if groups < 1 or outputs % groups or inputs * groups != x.shape[0]:
        raise UserError(
            f"weights {weights.shape} in {groups} groups do not fit an input of shape {x.shape}",
            layer=layer_name(node),
            remedy="check the layer's sizes in the source model",
        )


def _needs_quantizer(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') reads values with {what}",
        layer=layer_name(node),
        remedy="put a quantized activation between this layer and the one before",
    )


def _linear(
    walk: Walk, node: onnx.NodeProto, x: Activation, weights: QuantizedConstant
) -> Activation:
    """Weights [O, I] on the last axis of [..., I]."""
    layer = layer_name(node)
    if len(weights.shape) != 2:
        raise UserError(
            f"an input of shape {x.shape} times weights of shape {weights.shape}",
            layer=layer,
            remedy="use weights with two axes",
        )
    last = len(x.shape) - 1
    if not x.uniform and x.axis != last:
        raise _needs_quantizer(node, "a scale per channel, which this layer cannot take in")
    if last:
        return _batched_linear(walk, node, x, weights)
    x, weights = _unturned(walk, x, weights)
    integer_weights, scale = structured_weights(weights, x.scale, layer)
    name = walk.unique(layer)
    operator = Linear(
        name=name, input=x.tensor, output=name, origin=(node.name,), weights=integer_weights
    )
    y = walk.add(operator, scale)
    return replace(y, offset=_carried_offset(node, x, integer_weights, scale))


def _unturned(
    walk: Walk, x: Activation, weights: QuantizedConstant
) -> tuple[Activation, QuantizedConstant]:
    """Features of a transposed image in the order before; the weights' columns move instead."""
    flat = walk.builder.producer(x.tensor)
    if not isinstance(flat, Flatten) or weights.shape[1:] != x.shape:
        return x, weights
    turned = walk.builder.producer(flat.input)
    if not isinstance(turned, Transpose):
        return x, weights
    shape = walk.builder.tensors[turned.input].shape
    places = np.arange(prod(shape)).reshape(shape).transpose(turned.order).argsort(axis=None)
    moved = weights.viewed(lambda array: array[:, places] if array.shape[1] > 1 else array)
    image = replace(x, tensor=turned.input, shape=shape, scale=x.scale[:1], offset=x.offset[:1])
    before = movement.reshape(walk, image, x.shape, f"{flat.name}.unturned")
    scales, offsets = (
        tuple(channels[place] for place in places) if len(channels) > 1 else channels
        for channels in (x.scale, x.offset)
    )
    return replace(x, tensor=before.tensor, scale=scales, offset=offsets), moved


def _batched_linear(
    walk: Walk, node: onnx.NodeProto, x: Activation, weights: QuantizedConstant
) -> Activation:
    """[T, ..., I] as a 1x1 convolution of an image [I, T..., 1] with the features as channels."""
    layer, last = layer_name(node), len(x.shape) - 1
    turned = movement.transpose(walk, x, (last, *range(last)), f"{layer}.turned")
    image = movement.reshape(
        walk, turned, (x.shape[last], prod(x.shape[:last]), 1), f"{layer}.image"
    )
    kernel = weights.viewed(lambda array: array[:, :, np.newaxis, np.newaxis])
    integer_weights, scale = structured_weights(kernel, x.scale, layer)
    name = walk.unique(layer)
    operator = Convolution(
        name=name, input=image.tensor, output=name, origin=(node.name,), weights=integer_weights
    )
    y = replace(walk.add(operator, scale), offset=_carried_offset(node, x, integer_weights, scale))
    y = movement.reshape(walk, y, (y.shape[0], *x.shape[:last]), f"{layer}.rows")
    return movement.transpose(walk, y, (*range(1, last + 1), 0), f"{layer}.back")
