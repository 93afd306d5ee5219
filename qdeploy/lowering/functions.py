# SPDX-License-Identifier: Apache-2.0
"""Relu, Clip, LeakyRelu and other rising functions: the next quantizer absorbs them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.lowering.affine import along, per_axis
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import collapsed
from qdeploy.lowering.monotone import Affine, Clip, LeakyRelu, Rising
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, RealInput, Value
from qdeploy.lowering.walk import Walk, handles


@handles("Relu")
def relu(walk: Walk, node: onnx.NodeProto) -> Activation | RealInput:
    """ONNX Relu 6..14; the next quantizer absorbs it."""
    return _pending(walk, node, Clip(Fraction(0), None))


@handles("Clip")
def clip(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Clip 6..13; the next quantizer absorbs it, unless no code lies outside."""
    value, function = walk.value(node), limits(walk, node)
    if isinstance(value, Constant):
        low = -math.inf if function.low is None else float(function.low)
        high = math.inf if function.high is None else float(function.high)
        clipped = np.minimum(np.maximum(value.array.astype(np.float64), low), high)
        return Constant(clipped.astype(value.array.dtype))
    return _pending(walk, node, function)


def limits(walk: Walk, node: onnx.NodeProto) -> Clip:
    """What a Clip node limits its input to.

    Raises:
        UserError: if a limit is not constant or no number.
    """
    given = attributes(node)
    low, high = given.get("min"), given.get("max")
    if len(node.input) > 1 and node.input[1]:
        low = _number(walk.array(node, 1), node)
    if len(node.input) > 2 and node.input[2]:
        high = _number(walk.array(node, 2), node)
    return Clip(*(None if v is None or math.isinf(v) else Fraction(v) for v in (low, high)))


@handles("Max", "Min")
def limit(walk: Walk, node: onnx.NodeProto) -> Activation | RealInput:
    """ONNX Max and Min 8..13 of one activation and numbers."""
    constants = [k for k in range(len(node.input)) if isinstance(walk.value(node, k), Constant)]
    others = [k for k in range(len(node.input)) if k not in constants]
    if len(others) != 1:
        raise UserError(
            f"{node.op_type} (node '{node.name}') of {len(others)} computed tensors",
            layer=layer_name(node),
            remedy="only a constant limit is supported",
        )
    numbers = [Fraction(_number(walk.array(node, index), node)) for index in constants]
    if node.op_type == "Max":
        function = Clip(max(numbers, default=None), None)
    else:
        function = Clip(None, min(numbers, default=None))
    return _pending(walk, node, function, index=others[0])


@handles("LeakyRelu")
def leaky_relu(walk: Walk, node: onnx.NodeProto) -> Activation | RealInput:
    """ONNX LeakyRelu 6..16: alpha · v below 0."""
    return _pending(walk, node, _leaky(attributes(node).get("alpha", 0.01), node))


@handles("PRelu")
def parametric_relu(walk: Walk, node: onnx.NodeProto) -> Activation | RealInput:
    """ONNX PRelu 7..16 with one slope, or one per channel."""
    slopes, x = collapsed(walk.array(node, 1)), walk.value(node)
    if slopes.size == 1:
        return _pending(walk, node, _leaky(float(slopes.reshape(-1)[0]), node))
    x = x if isinstance(x, Activation) else walk.activation(node)
    channels, axis = per_axis(slopes, x.shape, node)
    x = along(x, axis, len(channels), node)
    return walk.pending(x, tuple(_leaky(float(slope), node) for slope in channels))


@handles("HardSigmoid")
def hard_sigmoid(walk: Walk, node: onnx.NodeProto) -> Activation | RealInput:
    """ONNX HardSigmoid 6..22: alpha · v + beta, limited to 0..1."""
    given = attributes(node)
    alpha, beta = (
        Fraction(float(np.float32(given.get(name, default))))
        for name, default in (("alpha", 0.2), ("beta", 0.5))
    )
    if alpha <= 0:
        raise UserError(
            f"HardSigmoid with slope {float(alpha):g}",
            layer=layer_name(node),
            remedy="use a positive slope",
        )
    return _pending(walk, node, Affine(alpha, beta), Clip(Fraction(0), Fraction(1)))


def _leaky(slope: float, node: onnx.NodeProto) -> Rising:
    exact = Fraction(float(np.float32(slope)))
    if exact < 0:
        raise UserError(
            f"{node.op_type} with slope {float(exact):g}",
            layer=layer_name(node),
            remedy="use a positive slope, or Relu",
        )
    return LeakyRelu(exact) if exact else Clip(Fraction(0), None)


def _pending(
    walk: Walk, node: onnx.NodeProto, *functions: Rising, index: int = 0
) -> Activation | RealInput:
    """Input `index` with functions more that wait for the next quantizer."""
    value = walk.value(node, index)
    if isinstance(value, RealInput):
        for function in functions:
            value = walk.pending(value, (function,))
        return value
    x = value if isinstance(value, Activation) else walk.activation(node, index)
    for function in functions:
        x = walk.pending(x, (function,))
    return x


def _number(array: NDArray[Any], node: onnx.NodeProto) -> float:
    plain = array.size == 1 and array.dtype.kind in "fiu"
    value = float(array.ravel()[0]) if plain else math.nan
    if math.isnan(value):
        raise UserError(
            f"a limit of {node.op_type} (node '{node.name}') is no number",
            layer=layer_name(node),
            remedy="export the model again with one number as limit",
        )
    return value
