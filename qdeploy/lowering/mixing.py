# SPDX-License-Identifier: Apache-2.0
"""Moves that scatter scales per channel, as a pixel shuffle does behind a convolution.

Operators on single values commute with moves. So the moves wait: functions and quantizers see the
activation as it was before, their constants are moved back, and quantized codes are moved instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Integers
from qdeploy.lowering import movement
from qdeploy.lowering.exact import collapsed
from qdeploy.lowering.source import CHANNELS_LAST_DOMAIN, layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    Mixed,
    Move,
    QuantizedConstant,
    RealInput,
    Value,
)

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

Moving = Activation | RealInput | Mixed
Entry = TypeVar("Entry")

# Operators that only move values.
MOVING = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth"}
MOVING |= {"Shape"}
# Operators on single values whose constants broadcast to the tensor.
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Neg", "Relu", "LeakyRelu", "PRelu", "Clip", "Max"}
_ELEMENTWISE |= {"Min", "HardSigmoid", "Sigmoid", "Sign", "Quant", "BipolarQuant", "Trunc"}
_ELEMENTWISE |= {"Identity", "Dropout"}
# Those whose constants hold one value per channel, and those that take one for all here.
_PER_CHANNEL = {"BatchNormalization"}
_UNIFORM = {"QuantizeLinear"}


def transpose(walk: Walk, value: Moving, order: tuple[int, ...], name: str) -> Moving:
    """A transposition of anything computed, without the batch axis."""
    if isinstance(value, Mixed):
        shape = tuple(value.shape[axis] for axis in order)
        return _settled(walk, value.source, (*value.moves, (order, shape)), name)
    return movement.transpose(walk, value, order, name)


def reshape(walk: Walk, value: Moving, shape: tuple[int, ...], name: str) -> Moving:
    """A change of shape of anything computed, without the batch axis."""
    if len(shape) > movement.MAXIMUM_RANK:
        raise ValueError(f"a tensor with {len(shape)} axes")
    if isinstance(value, Mixed):
        return _settled(walk, value.source, (*value.moves, (None, shape)), name)
    if isinstance(value, Activation) and movement.followed(value, shape) is None:
        return Mixed(value, ((None, shape),))
    return movement.reshape(walk, value, shape, name)


def elementwise(
    walk: Walk, node: onnx.NodeProto, handler: Callable[[Walk, onnx.NodeProto], Value]
) -> Value:
    """Lower `node`, of which an input is `Mixed`, by its handler, before the moves.

    Raises:
        UserError: if it does not work on single values, or as the handler does.
    """
    values = {name: walk.values[name] for name in node.input if name in walk.values}
    name, *others = (name for name, value in values.items() if isinstance(value, Mixed))
    x = values[name]
    assert isinstance(x, Mixed)
    known = node.op_type in _ELEMENTWISE | _PER_CHANNEL | _UNIFORM
    if others or not known or node.domain == CHANNELS_LAST_DOMAIN:
        raise scattered(node, x)
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    for index, given in enumerate(node.input):
        value = values.get(given)
        if isinstance(value, QuantizedConstant):
            value = Constant(value.real)
        if given == name:
            value = x.source
        elif isinstance(value, Constant) and value.array.size > 1:
            array = value.array
            if node.op_type in _UNIFORM and (array != array.flat[0]).any():
                raise scattered(node, x)
            if node.op_type in _UNIFORM:
                array = array.flat[:1]
            if node.op_type in _PER_CHANNEL:
                array = array.reshape(-1, *(1,) * (len(x.shape) - 1))
            value = Constant(_before(array, x))
            varying = [axis for axis, size in enumerate(value.array.shape) if size > 1]
            fits = varying == [0] if node.op_type in _PER_CHANNEL else len(varying) == 1
            if varying and not fits:
                raise scattered(node, x)
        if value is not None:
            plain.input[index] = f"{given} (before the moves of {name})"
            walk.values[plain.input[index]] = value
    y = handler(walk, plain)
    assert isinstance(y, Activation)
    return _settled(walk, y, x.moves, f"{layer_name(node)}.moved")


def at_output(walk: Walk, x: Mixed, name: str) -> Activation:
    """The moved integers, of which each element has a scale of its own."""
    labels = _moved(_labels(x.source), x)
    y = movement.replay(walk, _plain(x.source), x.moves, name)
    scale, offset = (
        values * x.source.channels if len(values) == 1 else values
        for values in (x.source.scale, x.source.offset)
    )
    return replace(
        y, scale=scale, offset=offset, functions=x.source.functions, block=_block(labels)
    )


def scattered(node: onnx.NodeProto, x: Mixed) -> UserError:
    """The refusal of a node that needs all its scales along one axis."""
    return UserError(
        f"{node.op_type} (node '{node.name}') reads values of shape {x.shape}, of which a change "
        f"of shape from {x.source.shape} mixes channels that have scales of their own",
        layer=layer_name(node),
        remedy="quantize the tensor (one scale) before this layer",
    )


def _settled(walk: Walk, x: Activation, moves: tuple[Move, ...], name: str) -> Activation | Mixed:
    """The moved activation, if its scales then vary along one axis at most; else `Mixed`."""
    mixed = Mixed(x, moves)
    labels = collapsed(_moved(_labels(x), mixed))
    varying = [axis for axis, size in enumerate(labels.shape) if size > 1]
    if len(varying) > 1:
        return mixed
    chosen = labels.ravel()
    y = movement.replay(walk, _plain(x), moves, name)
    scale, offset = _chosen(x.scale, chosen), _chosen(x.offset, chosen)
    functions = tuple(_chosen(function, chosen) for function in x.functions)
    axis = varying[0] if varying else 0
    return replace(y, scale=scale, offset=offset, functions=functions, axis=axis)


def _chosen(channels: tuple[Entry, ...], indices: Integers) -> tuple[Entry, ...]:
    return channels if len(channels) == 1 else tuple(channels[index] for index in indices)


def _plain(x: Activation) -> Activation:
    """The integers of `x` without a meaning."""
    return Activation(x.tensor, x.shape, (Fraction(1),))


def _labels(x: Activation) -> Integers:
    """Which of its channels each element of `x` belongs to; the first of equal ones."""
    first: dict[Any, int] = {}
    meanings = (
        (x.scale[c % len(x.scale)], x.offset[c % len(x.offset)], *x.functions_of(c))
        for c in range(x.channels)
    )
    labels = [first.setdefault(meaning, c) for c, meaning in enumerate(meanings)]
    trailing = (1,) * (len(x.shape) - 1 - x.axis)
    return np.broadcast_to(np.array(labels, np.int64).reshape(-1, *trailing), x.shape)


def _moved(array: Integers, x: Mixed) -> Integers:
    """An array of the shape before the moves, moved."""
    for order, shape in x.moves:
        array = array.reshape(shape) if order is None else array.transpose(order)
    return array


def _before(constant: NDArray[Any], x: Mixed) -> NDArray[Any]:
    """A constant that broadcasts to [1, *shape], as it was before the moves; [...] or smaller."""
    shapes = [x.source.shape, *(shape for _, shape in x.moves)]
    array = np.broadcast_to(constant, (1, *x.shape))[0]
    for (order, _), shape in zip(reversed(x.moves), shapes[-2::-1], strict=True):
        array = array.reshape(shape) if order is None else array.transpose(np.argsort(order))
    return collapsed(array)


def _block(labels: Integers) -> Integers:
    """The smallest block that gives the array when it is repeated along its axes."""
    for axis, size in enumerate(labels.shape):
        before, after = labels.shape[:axis], labels.shape[axis + 1 :]
        for length in (k for k in range(1, size) if size % k == 0):
            parts = labels.reshape(prod(before), size // length, length, prod(after))
            if (parts == parts[:, :1]).all():
                labels = parts[:, 0].reshape(*before, length, *after)
                break
    return labels
