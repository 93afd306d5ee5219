# SPDX-License-Identifier: Apache-2.0
"""BatchNormalization, Add, Sub, Mul, Div and Relu: only scale and offset change.

a · (scale · x + offset) + c = (a · scale) · x + (a · offset + c)
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import fractions, square_root
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, RealInput, Value
from qdeploy.lowering.walk import QUANTIZER_REMEDY, Walk, handles

Channels = tuple[Fraction, ...]


@handles("BatchNormalization")
def batch_normalization(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX BatchNormalization 7..15 in inference: gamma · (x - mean) / sqrt(var + eps) + beta."""
    x = walk.activation(node)
    gamma, beta, mean, variance = (
        channel_fractions(walk.array(node, index).reshape(-1), (x.shape[0],), node)
        for index in range(1, 5)
    )
    epsilon = Fraction(float(np.float32(attributes(node).get("epsilon", 1e-5))))
    try:
        factor = tuple(
            g / square_root(v + epsilon) for g, v in zip(*_spread(gamma, variance), strict=True)
        )
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"a variance of {float(min(variance)):g} in BatchNormalization (node '{node.name}')",
            layer=layer_name(node),
            remedy="train the network before exporting it",
        ) from error
    shift = tuple(b - f * m for b, f, m in zip(*_spread(beta, factor, mean), strict=True))
    return _affine(x, factor, shift)


@handles("Mul", "Div", "Add", "Sub")
def arithmetic(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Add, Sub, Mul, Div 7..14 with one constant operand."""
    left, right = walk.value(node), walk.value(node, 1)
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Constant(_FOLD[node.op_type](left.array, right.array))
    if isinstance(right, Constant):
        return _apply(left, node, right.array, swapped=False)
    if isinstance(left, Constant) and node.op_type != "Div":
        return _apply(right, node, left.array, swapped=True)
    raise UserError(
        f"{node.op_type} (node '{node.name}') of two computed tensors",
        layer=layer_name(node),
        remedy="only a constant operand is supported",
    )


@handles("Relu")
def relu(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Relu 6..14; the next quantizer absorbs it."""
    value = walk.value(node)
    x = value if isinstance(value, Activation) and value.relu else walk.activation(node)
    return replace(x, relu=True)


@handles("Pow")
def power(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Pow of constants, as exporters write square roots."""
    return Constant(np.power(walk.array(node, 0), walk.array(node, 1)))


@handles("Sqrt")
def sqrt(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Sqrt of a constant."""
    return Constant(np.sqrt(walk.array(node, 0)))


_FOLD = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}


def channel_fractions(
    array: NDArray[Any], shape: tuple[int, ...], node: onnx.NodeProto
) -> Channels:
    """A constant operand as one Fraction, or one per channel of a tensor of `shape` [C, ...].

    Raises:
        UserError: if it varies along another axis or is not finite.
    """
    try:
        if array.size == 1:
            return (Fraction(fractions(array.reshape(1))[0]),)
        trailing = array.shape[-len(shape) :]
        if trailing == (shape[0],) + (1,) * (len(shape) - 1) and array.size == shape[0]:
            return tuple(fractions(array.reshape(-1)))
    except ValueError as error:
        raise UserError(
            f"{node.op_type} (node '{node.name}') has the parameter {error}",
            layer=layer_name(node),
            remedy="the model is damaged or its training diverged; check the parameters",
        ) from error
    raise UserError(
        f"{node.op_type} (node '{node.name}') has a constant of shape {array.shape} "
        f"for a tensor of shape {shape}",
        layer=layer_name(node),
        remedy="only one value, or one per channel, can be absorbed",
    )


def _apply(value: Value, node: onnx.NodeProto, array: NDArray[Any], swapped: bool) -> Value:
    """`value` op constant, or constant op `value` where swapped."""
    shape = (1,) if isinstance(value, RealInput) else getattr(value, "shape", (1,))
    constant = channel_fractions(array, shape, node)
    if node.op_type == "Div" and not all(constant):
        raise UserError(f"division by zero (node '{node.name}')", layer=layer_name(node))
    factor: Channels = (Fraction(1),)
    shift: Channels = (Fraction(0),)
    if node.op_type == "Mul":
        factor = constant
    elif node.op_type == "Div":
        factor = tuple(1 / c for c in constant)
    elif node.op_type == "Add":
        shift = constant
    elif swapped:
        factor, shift = (Fraction(-1),), constant
    else:
        shift = tuple(-c for c in constant)
    if isinstance(value, RealInput):
        return RealInput(value.shape, value.scale * factor[0], value.offset * factor[0] + shift[0])
    if isinstance(value, QuantizedConstant) and len(factor) == 1 and not any(shift):
        return QuantizedConstant(value.codes, value.scale * factor[0])
    if isinstance(value, Activation) and not value.relu:
        return _affine(value, factor, shift)
    raise UserError(
        f"{node.op_type} (node '{node.name}') would stay a float layer",
        layer=layer_name(node),
        remedy=QUANTIZER_REMEDY,
    )


def _affine(x: Activation, factor: Channels, shift: Channels) -> Activation:
    scale = tuple(s * f for s, f in zip(*_spread(x.scale, factor), strict=True))
    offset = tuple(o * f + c for o, f, c in zip(*_spread(x.offset, factor, shift), strict=True))
    return replace(x, scale=scale, offset=offset)


def _spread(*channels: Channels) -> tuple[Channels, ...]:
    """Bring tuples of length 1 and C to one length."""
    length = max(map(len, channels))
    return tuple(c * length if len(c) == 1 else c for c in channels)
