# SPDX-License-Identifier: Apache-2.0
"""Flatten, Reshape, Transpose, Pad, DepthToSpace...: integers move, their meaning stays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Add
from qdeploy.lowering import mixing, movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.levels import MAXIMUM_STEP
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    Mixed,
    QuantizedConstant,
    RealInput,
    Value,
)
from qdeploy.lowering.walk import Walk, handles

REMEDY = "export the model with fixed shapes and the batch as first axis"


@handles("Identity", "Dropout")
def identity(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Identity, and Dropout in inference."""
    if len(node.input) > 2 and node.input[2] and walk.array(node, 2).any():
        raise _unsupported(node, "in training mode")
    return walk.value(node)


@handles("Transpose")
def transpose(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Transpose 1..21 of weights, or of activations with the batch staying first."""
    value = walk.value(node)
    order = attributes(node).get("perm")
    if isinstance(value, (Constant, QuantizedConstant)):
        return movement.transpose_constant(value, order)
    rank = len(value.shape) + 1
    if not order or order[0] != 0 or sorted(order) != list(range(rank)):
        raise _unsupported(node, f"with order {order} moves the batch axis")
    return mixing.transpose(walk, value, tuple(axis - 1 for axis in order[1:]), layer_name(node))


@handles("Flatten")
def flatten(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Flatten 1..21 behind the batch axis."""
    value = _data(walk, node)
    axis = attributes(node).get("axis", 1)
    if axis not in (1, -len(value.shape)):
        raise _unsupported(node, f"at axis {axis}")
    return mixing.reshape(walk, value, (prod(value.shape),), layer_name(node))


@handles("Reshape")
def reshape(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Reshape 5..21 that keeps the batch axis."""
    given = walk.value(node)
    sizes = walk.array(node, 1).ravel()
    if sizes.dtype != np.int64:
        raise _unsupported(node, f"with sizes of type {sizes.dtype}")
    target = [int(size) for size in sizes]
    if isinstance(given, (Constant, QuantizedConstant)):
        return movement.reshape_constant(given, target)
    value = _data(walk, node)
    old = (1, *value.shape)
    if not attributes(node).get("allowzero", 0):
        target = [old[k] if size == 0 and k < len(old) else size for k, size in enumerate(target)]
    elements = prod(value.shape)
    known = prod(size for size in target[1:] if size != -1)
    shape = tuple(elements // known if size == -1 and known else size for size in target[1:])
    batch = target[:1] in ([1], [-1]) and prod(shape) == elements and min(shape, default=0) > 0
    if not batch:
        raise _unsupported(node, f"from {('N', *value.shape)} to {target}")
    return mixing.reshape(walk, value, shape, layer_name(node))


@handles("Squeeze", "Unsqueeze")
def squeeze(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Squeeze and Unsqueeze 1..21 of constants, or behind the batch axis."""
    given = walk.value(node)
    axes = attributes(node).get("axes")
    if axes is None and len(node.input) > 1:
        axes = walk.array(node, 1).ravel().tolist()
    if isinstance(given, (Constant, QuantizedConstant)):
        old = given.array if isinstance(given, Constant) else given.planes[0].codes
        if node.op_type == "Squeeze":
            new = np.squeeze(old, tuple(axes) if axes else None)
        else:
            new = np.expand_dims(old, tuple(axes or ()))
        return movement.reshape_constant(given, new.shape)
    value = _data(walk, node)
    sizes = [1, *value.shape]
    rank = len(sizes) + (len(axes or ()) if node.op_type == "Unsqueeze" else 0)
    places = sorted(axis % rank for axis in axes or ())
    if not places or places[0] == 0:
        raise _unsupported(node, f"with axes {axes} touches the batch axis")
    if node.op_type == "Squeeze":
        if any(sizes[place] != 1 for place in places):
            raise _unsupported(node, f"of axes {axes} of a tensor of shape {value.shape}")
        shape = [size for place, size in enumerate(sizes) if place not in places]
    else:
        shape = sizes
        for place in places:
            shape.insert(place, 1)
    return mixing.reshape(walk, value, tuple(shape[1:]), layer_name(node))


@handles("Pad")
def pad(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Pad 2..21, mode constant, of spatial axes."""
    x = walk.activation(node)
    given = attributes(node)
    pads, fill = given.get("pads"), given.get("value", 0.0)
    if pads is None:
        pads = walk.array(node, 1).ravel().tolist()
    if len(node.input) > 2 and node.input[2]:
        fill = float(walk.array(node, 2).ravel()[0])
    rank = len(x.shape) + 1
    if len(node.input) > 3 and node.input[3]:
        pads = _all_axes(pads, walk.array(node, 3).ravel().tolist(), rank)
    plain = len(pads) == 2 * rank and pads[0] == pads[rank] == 0
    if given.get("mode", "constant") != "constant" or not plain:
        raise _unsupported(node, f"with mode {given.get('mode')} and pads {pads}")
    sides = [(int(pads[axis]), int(pads[rank + axis])) for axis in range(1, rank)]
    bounds = [
        range(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(sides, x.shape, strict=True)
    ]
    if not all(map(len, bounds)):
        raise _unsupported(node, f"leaves nothing of {x.shape} with pads {pads}")
    x = movement.part(walk, node, x, bounds)
    return _padded(walk, node, x, [(max(0, a), max(0, b)) for a, b in sides], Fraction(fill))


def _padded(
    walk: Walk,
    node: onnx.NodeProto,
    x: Activation,
    sides: list[tuple[int, int]],
    fill: Fraction,
) -> Activation:
    """Padding (before, after) of each axis: of the last two at once, of others as image rows."""
    layer = layer_name(node)
    x, code = padding(walk, node, x, fill)
    if len(x.shape) == 3 and any(map(any, sides[1:])):
        (top, bottom), (left, right) = sides[1:]
        x, sides = movement.pad(walk, node, x, (top, left, bottom, right), code), sides[:1]
    for axis, (before, after) in enumerate(sides):
        if not before and not after:
            continue
        if not x.uniform and x.axis == axis:
            raise _unsupported(node, "of an axis with scales of its own")
        shape = list(x.shape)
        rows = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
        image = movement.reshape(walk, x, rows, f"{layer}.image")
        image = movement.pad(walk, node, image, (before, 0, after, 0), code)
        shape[axis] += before + after
        x = movement.reshape(walk, image, tuple(shape), f"{layer}.values")
    return x


@handles("DepthToSpace", "SpaceToDepth")
def depth_to_space(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX DepthToSpace and SpaceToDepth 1..13: two reshapes around a transposition."""
    x = _data(walk, node)
    given, layer = attributes(node), layer_name(node)
    block, mode = given.get("blocksize", 0), given.get("mode", "DCR")
    if mode not in ("DCR", "CRD") or len(x.shape) != 3 or block < 1:
        raise _unsupported(node, f"with blocks of {block} on a tensor of shape {x.shape}")
    channels, height, width = x.shape
    if node.op_type == "SpaceToDepth":
        split, order = (channels, height // block, block, width // block, block), (2, 4, 0, 1, 3)
        shape = (channels * block**2, height // block, width // block)
    else:
        depth = channels // block**2
        split, order = (block, block, depth, height, width), (2, 3, 0, 4, 1)
        if mode == "CRD":
            split, order = (depth, block, block, height, width), (0, 3, 1, 4, 2)
        shape = (depth, height * block, width * block)
    if prod(shape) != prod(x.shape):
        raise _unsupported(node, f"with blocks of {block} on a tensor of shape {x.shape}")
    y = mixing.transpose(walk, mixing.reshape(walk, x, split, f"{layer}.split"), order, layer)
    return mixing.reshape(walk, y, shape, f"{layer}.join")


def padding(
    walk: Walk, node: onnx.NodeProto, x: Activation, fill: Fraction
) -> tuple[Activation, int]:
    """The tensor and the integer that stands for the real value `fill` in it.

    Where that lies between two codes, at a small fraction, all codes are multiplied first.

    Raises:
        UserError: if there is none, or another one per channel.
    """
    codes = {
        (fill - x.offset[c % len(x.offset)]) / x.scale[c % len(x.scale)]
        if x.scale[c % len(x.scale)]
        else (Fraction(0) if x.offset[c % len(x.offset)] == fill else None)
        for c in range(max(len(x.scale), len(x.offset)))
    }
    code = codes.pop()
    if codes or code is None or code.denominator > MAXIMUM_STEP or abs(code) > 1 << 20:
        raise UserError(
            f"{node.op_type} (node '{node.name}') pads with {float(fill):g}, which is no code of "
            "the tensor's quantizer",
            layer=layer_name(node),
            remedy="pad with a value the quantizer can represent (0 for most), before an affine "
            "layer",
        )
    factor = code.denominator
    if factor > 1:
        name = walk.unique(f"{layer_name(node)}.multiplied")
        operator = Add(
            name=name, input=x.tensor, output=name, origin=(node.name,), multipliers=(factor,)
        )
        scale = tuple(s / factor for s in x.scale)
        x = replace(movement.like(x, walk.add(operator, scale)), scale=scale)
    return x, int(code * factor)


def _data(walk: Walk, node: onnx.NodeProto) -> mixing.Moving:
    value = walk.value(node)
    if isinstance(value, (Activation, RealInput, Mixed)):
        return value
    raise _unsupported(node, "of weights")


def _all_axes(pads: list[int], axes: list[int], rank: int) -> list[int]:
    """Pads of the given axes as pads of all axes."""
    result = [0] * 2 * rank
    for position, axis in enumerate(axes):
        result[axis % rank] = pads[position]
        result[rank + axis % rank] = pads[len(axes) + position]
    return result


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}", layer=layer_name(node), remedy=REMEDY
    )
