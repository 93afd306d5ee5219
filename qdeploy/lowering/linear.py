# SPDX-License-Identifier: Apache-2.0
"""Conv, MatMul and Gemm: codes stay, scales multiply, a bias becomes an offset."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Linear
from qdeploy.lowering.affine import channel_fractions
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import structured_weights


@handles("Conv")
def convolution(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Conv 1..22, two spatial axes."""
    layer = layer_name(node)
    x, weights = _operands(walk, node)
    if weights.codes.ndim != 4:
        raise UserError(
            f"a convolution with weights of shape {weights.codes.shape}",
            layer=layer,
            remedy="only 2-D convolutions are supported",
        )
    given = attributes(node)
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UserError(
            f"auto_pad={given['auto_pad']}", layer=layer, remedy="export with explicit padding"
        )
    integer_weights, scale = structured_weights(weights, x.scale, layer)
    name = walk.unique(layer)
    y = walk.add(
        Convolution(
            name=name,
            input=x.tensor,
            output=name,
            origin=(node.name,),
            weights=integer_weights,
            strides=tuple(given.get("strides", (1, 1))),
            pads=tuple(given.get("pads", (0, 0, 0, 0))),
            dilations=tuple(given.get("dilations", (1, 1))),
            groups=given.get("group", 1),
        ),
        scale,
    )
    return _with_bias(walk, node, y) if len(node.input) > 2 and node.input[2] else y


@handles("MatMul")
def matmul(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX MatMul 1..13: [1, I] times quantized weights [I, O]."""
    x, weights = _operands(walk, node)
    return _linear(walk, node, x, _transposed(weights))


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
    x, weights = _operands(walk, node)
    y = _linear(walk, node, x, weights if given.get("transB", 0) else _transposed(weights))
    return _with_bias(walk, node, y) if len(node.input) > 2 and node.input[2] else y


def _operands(walk: Walk, node: onnx.NodeProto) -> tuple[Activation, QuantizedConstant]:
    x = walk.activation(node)
    weights = walk.value(node, 1)
    if not isinstance(weights, QuantizedConstant):
        raise UserError(
            f"{node.op_type} (node '{node.name}') has float weights",
            layer=layer_name(node),
            remedy="use a quantized layer, for instance brevitas.nn.QuantConv2d or QuantLinear "
            "with weight_quant=SyqTernaryPixel",
        )
    if any(x.offset):
        raise UserError(
            f"{node.op_type} (node '{node.name}') reads values with an offset of "
            f"{float(max(x.offset, key=abs)):g}, which are no multiples of one scale",
            layer=layer_name(node),
            remedy="put a quantized activation between this layer and the one before",
        )
    return x, weights


def _transposed(weights: QuantizedConstant) -> QuantizedConstant:
    scale = weights.scale
    return QuantizedConstant(weights.codes.T, scale.T if scale.ndim == 2 else scale.reshape(-1, 1))


def _linear(
    walk: Walk, node: onnx.NodeProto, x: Activation, weights: QuantizedConstant
) -> Activation:
    layer = layer_name(node)
    if weights.codes.ndim != 2 or len(x.shape) != 1:
        raise UserError(
            f"an input of shape {x.shape} times weights of shape {weights.codes.shape}",
            layer=layer,
            remedy="flatten the input before the fully connected layer",
        )
    integer_weights, scale = structured_weights(weights, x.scale, layer)
    name = walk.unique(layer)
    return walk.add(
        Linear(
            name=name, input=x.tensor, output=name, origin=(node.name,), weights=integer_weights
        ),
        scale,
    )


def _with_bias(walk: Walk, node: onnx.NodeProto, y: Activation) -> Activation:
    bias = walk.value(node, 2)
    if isinstance(bias, QuantizedConstant):
        real = bias.scale * bias.codes.astype(object)
        offset = tuple(Fraction(value) for value in np.broadcast_to(real, bias.codes.shape).ravel())
        return replace(y, offset=offset)
    if not isinstance(bias, Constant):
        raise UserError(
            f"the bias of {node.op_type} (node '{node.name}') is not constant",
            layer=layer_name(node),
            remedy="export the model in eval mode",
        )
    return replace(y, offset=channel_fractions(bias.array.reshape(-1), (y.shape[0],), node))
