# SPDX-License-Identifier: Apache-2.0
"""Integers that move: transpositions and changes of shape, also of the real input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Flatten, Pad, Reshape, Slice, Transpose
from qdeploy.lowering.exact import collapsed
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    Move,
    QuantizedConstant,
    RealInput,
    ScaledCodes,
)

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

MAXIMUM_RANK = 8
Entry = TypeVar("Entry")


def like(x: Activation, y: Activation) -> Activation:
    """`y`, made of moved integers of `x`, with the meaning of `x`."""
    return replace(x, tensor=y.tensor, shape=y.shape)


@overload
def transpose(walk: Walk, value: Activation, order: tuple[int, ...], name: str) -> Activation: ...


@overload
def transpose(walk: Walk, value: RealInput, order: tuple[int, ...], name: str) -> RealInput: ...


def transpose(
    walk: Walk, value: Activation | RealInput, order: tuple[int, ...], name: str
) -> Activation | RealInput:
    """Append a transposition (no batch axis); nothing for the identity."""
    if order == tuple(range(len(order))):
        return value
    shape = tuple(value.shape[axis] for axis in order)
    if isinstance(value, RealInput):
        moves = (*value.moves, (order, shape))
        return replace(value, shape=shape, moves=moves)
    axis, source = order.index(value.axis), value.tensor
    before = walk.builder.producer(source)
    if isinstance(before, Transpose):  # two in a row are one, or none
        source, order = before.input, tuple(before.order[axis] for axis in order)
    if order == tuple(range(len(order))):
        return replace(value, tensor=source, shape=shape, axis=axis)
    name = walk.unique(name)
    node = Transpose(name=name, input=source, output=name, order=order)
    return replace(like(value, walk.add(node, value.scale)), axis=axis)


def untransposed(walk: Walk, value: Activation) -> tuple[int, ...]:
    """The order in which elementwise operators best see `value`: as before its transposition."""
    before = walk.builder.producer(value.tensor)
    rank = range(len(value.shape))
    return tuple(map(before.order.index, rank)) if isinstance(before, Transpose) else tuple(rank)


def transpose_constant(
    value: Constant | QuantizedConstant, order: Sequence[int] | None
) -> Constant | QuantizedConstant:
    """A constant with its axes in another order; None reverses them."""
    if isinstance(value, Constant):
        return Constant(value.array.transpose(order))
    return value.viewed(lambda array: array.transpose(order))


def reshape_constant(
    value: Constant | QuantizedConstant, shape: Sequence[int]
) -> Constant | QuantizedConstant:
    """A constant in another shape (one size may be -1); scales of its elements go with them."""
    if isinstance(value, Constant):
        return Constant(value.array.reshape(shape))

    def reshaped(plane: ScaledCodes) -> ScaledCodes:
        codes = plane.codes.reshape(shape)
        if plane.scale.size == 1:
            return ScaledCodes(codes, plane.scale.reshape(1))
        scale = np.broadcast_to(plane.scale, plane.codes.shape).reshape(shape)
        return ScaledCodes(codes, collapsed(scale))

    return value.each(reshaped)


@overload
def reshape(walk: Walk, value: Activation, shape: tuple[int, ...], name: str) -> Activation: ...


@overload
def reshape(walk: Walk, value: RealInput, shape: tuple[int, ...], name: str) -> RealInput: ...


def reshape(
    walk: Walk, value: Activation | RealInput, shape: tuple[int, ...], name: str
) -> Activation | RealInput:
    """Append a change of shape; every integer keeps its place in the order.

    Scales per channel survive if the channel axis keeps its place, or are spread over the
    elements of a flattened tensor.

    Raises:
        UserError: if they cannot be followed.
    """
    if shape == value.shape:
        return value
    if isinstance(value, RealInput):
        return replace(value, shape=shape, moves=(*value.moves, (None, shape)))
    moved = followed(value, shape)
    if moved is None:
        raise UserError(
            f"a change of shape from {value.shape} to {shape} mixes channels that have "
            "scales of their own",
            layer=name,
            remedy="quantize the tensor (one scale) before its shape changes",
        )
    source = _unshaped(walk, value.tensor)
    if walk.builder.tensors[source].shape == shape:
        return replace(moved, tensor=source)
    name = walk.unique(name)
    kind = Flatten if len(shape) == 1 else partial(Reshape, shape=shape)
    y = walk.add(kind(name=name, input=source, output=name), moved.scale)
    return replace(moved, tensor=y.tensor)


def followed(x: Activation, shape: tuple[int, ...]) -> Activation | None:
    """What `x` means in another shape, not yet its integers; None if it mixes channels."""
    if x.uniform:
        return replace(x, shape=shape, axis=0)
    before, after = math.prod(x.shape[: x.axis]), math.prod(x.shape[x.axis + 1 :])
    places = [k for k in range(len(shape)) if shape[k] == x.shape[x.axis]]
    places = [k for k in places if math.prod(shape[:k]) == before]
    if places:
        return replace(x, shape=shape, axis=places[0])
    if len(shape) > 1:
        return None
    scale, offset = _spread(x.scale, before, after), _spread(x.offset, before, after)
    functions = tuple(_spread(function, before, after) for function in x.functions)
    return replace(x, shape=shape, scale=scale, offset=offset, axis=0, functions=functions)


def part(walk: Walk, node: onnx.NodeProto, x: Activation, bounds: Sequence[range]) -> Activation:
    """Append the choice of the indices bounds[k] (rising) along each axis k; nothing for all."""
    if all(bound == range(size) for bound, size in zip(bounds, x.shape, strict=True)):
        return x
    name = walk.unique(layer_name(node))
    operator = Slice(
        name=name,
        input=x.tensor,
        output=name,
        origin=(node.name,),
        starts=tuple(bound.start for bound in bounds),
        stops=tuple(bound.stop for bound in bounds),
        steps=tuple(bound.step for bound in bounds),
    )
    chosen = bounds[x.axis]
    scale, offset = _chosen(x.scale, chosen), _chosen(x.offset, chosen)
    functions = tuple(_chosen(function, chosen) for function in x.functions)
    y = walk.add(operator, scale)
    return Activation(y.tensor, y.shape, scale, offset, x.axis, functions)


def pad(
    walk: Walk, node: onnx.NodeProto, image: Activation, pads: tuple[int, int, int, int], code: int
) -> Activation:
    """Append padding (top, left, bottom, right) of an image [C, H, W] with the integer `code`."""
    name = walk.unique(layer_name(node))
    operator = Pad(
        name=name,
        input=image.tensor,
        output=name,
        origin=(node.name,),
        pads=pads,
        pad_code=code,
    )
    return like(image, walk.add(operator, image.scale))


def replay(walk: Walk, x: Activation, moves: Sequence[Move], name: str) -> Activation:
    """Do to an activation what the source file did to real values."""
    for order, shape in moves:
        x = reshape(walk, x, shape, name) if order is None else transpose(walk, x, order, name)
    return x


def _unshaped(walk: Walk, tensor: str) -> str:
    """The tensor before a change of shape: two in a row are one."""
    node = walk.builder.producer(tensor)
    return node.input if isinstance(node, (Reshape, Flatten)) else tensor


def _chosen(channels: tuple[Entry, ...], bound: range) -> tuple[Entry, ...]:
    """One value for all, or those of the channels in `bound`."""
    return channels if len(channels) == 1 else tuple(channels[index] for index in bound)


def _spread(channels: tuple[Entry, ...], before: int, after: int) -> tuple[Entry, ...]:
    """One value per channel to one per element of the flattened tensor [before, C, after]."""
    if len(channels) == 1:
        return channels
    return tuple(c for c in channels for _ in range(after)) * before
