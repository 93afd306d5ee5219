# SPDX-License-Identifier: Apache-2.0
"""Slice, Split and Gather: a part of the integers, or of a constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.embedding import embedding
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant
from qdeploy.lowering.walk import Walk, handles


@handles("Slice")
def slice_(walk: Walk, node: onnx.NodeProto) -> Activation | Constant:
    """ONNX Slice 1..13 of a constant, or of an activation behind the batch axis."""
    value, given = walk.value(node), attributes(node)

    def numbers(index: int, name: str, default: list[int]) -> list[int]:
        if len(node.input) > index and node.input[index]:
            return [int(number) for number in walk.array(node, index).ravel()]
        return list(given.get(name, default))

    starts, ends = numbers(1, "starts", []), numbers(2, "ends", [])
    axes = numbers(3, "axes", list(range(len(starts))))
    steps = numbers(4, "steps", [1] * len(starts))
    x = value if isinstance(value, Constant) else walk.activation(node)
    sizes = x.array.shape if isinstance(x, Constant) else (1, *x.shape)
    where = [slice(None)] * len(sizes)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis] = slice(start, end, step)
    if isinstance(x, Constant):
        return Constant(x.array[tuple(where)])
    bounds = [range(*w.indices(size)) for w, size in zip(where, sizes, strict=True)]
    return _part(walk, node, x, bounds)


@handles("Split")
def split(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Split 2..18 of an activation behind the batch axis."""
    x, given = walk.activation(node), attributes(node)
    place = given.get("axis", 0) % (len(x.shape) + 1)
    bounds = [range(1), *map(range, x.shape)]
    size, number = len(bounds[place]), len(node.output)
    lengths = given.get("split")
    if len(node.input) > 1 and node.input[1]:
        lengths = walk.array(node, 1).ravel().tolist()
    if lengths is None:  # equal parts, of which the last may be smaller
        length = -(-size // number)
        lengths = [length] * (number - 1) + [size - length * (number - 1)]
    if len(lengths) != number or sum(lengths) != size:
        raise _unsupported(node, f"of {size} into {lengths}")
    start, parts = 0, []
    for length in lengths:
        bounds[place] = range(start, start + length)
        parts.append(_part(walk, node, x, bounds))
        start += length
    walk.values.update(zip(node.output, parts, strict=True))
    return parts[0]


@handles("Gather")
def gather(walk: Walk, node: onnx.NodeProto) -> Activation | Constant:
    """ONNX Gather 1..13 of a constant, or of evenly spaced indices of an activation."""
    value = walk.value(node)
    if isinstance(value, (Constant, QuantizedConstant)) and not isinstance(
        walk.value(node, 1), Constant
    ):
        return embedding(walk, node, value)
    indices = walk.array(node, 1).astype(np.int64)
    axis = attributes(node).get("axis", 0)
    if isinstance(value, Constant):
        return Constant(np.take(value.array, indices, axis=axis))
    x = walk.activation(node)
    place = axis % (len(x.shape) + 1)
    if not place:
        raise _unsupported(node, "of the batch axis")
    bounds = [range(1), *map(range, x.shape)]
    chosen = [int(index) % len(bounds[place]) for index in indices.ravel()]
    step = max(1, chosen[1] - chosen[0]) if len(chosen) > 1 else 1
    spaced = range(chosen[0], chosen[-1] + 1, step)
    inside = (np.abs(indices * 2 + 1) <= 2 * len(bounds[place])).all()
    if indices.ndim > 1 or list(spaced) != chosen or not inside:
        raise _unsupported(node, f"of indices {str(indices.tolist())[:80]} along axis {axis}")
    bounds[place] = spaced
    y = _part(walk, node, x, bounds)
    if indices.ndim:
        return y
    shape = x.shape[: place - 1] + x.shape[place:] or (1,)
    return movement.reshape(walk, y, shape, f"{layer_name(node)}.squeeze")


def _part(walk: Walk, node: onnx.NodeProto, x: Activation, bounds: Sequence[range]) -> Activation:
    """The indices `bounds` of each axis, the batch first."""
    batch, *others = bounds
    if batch != range(1) or not all(len(bound) and bound.step > 0 for bound in others):
        raise _unsupported(node, f"of {[str(bound) for bound in bounds]}")
    return movement.part(walk, node, x, others)


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="take non-empty parts with positive steps, and not of the batch axis",
    )
