# SPDX-License-Identifier: Apache-2.0
"""Nearest Resize and Upsample: every position repeated, or every n-th one taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Upsample
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles

MAXIMUM_SIZE = 1 << 16
_HALF, _ZERO = Fraction(1, 2), Fraction(0)

# Where output position i of `new` lies among `old` input positions.
_PLACES: dict[str, Callable[[int, int, int], Fraction]] = {
    "asymmetric": lambda i, old, new: Fraction(i * old, new),
    "half_pixel": lambda i, old, new: (i + _HALF) * old / new - _HALF,
    "half_pixel_symmetric": lambda i, old, new: (i + _HALF) * old / new - _HALF,
    "pytorch_half_pixel": lambda i, old, new: (i + _HALF) * old / new - _HALF if new > 1 else _ZERO,
    "tf_half_pixel_for_nn": lambda i, old, new: (i + _HALF) * old / new,
    "align_corners": lambda i, old, new: Fraction(i * (old - 1), new - 1) if new > 1 else _ZERO,
}

_ROUNDING: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda place: math.ceil(place - _HALF),
    "round_prefer_ceil": lambda place: math.floor(place + _HALF),
}


@handles("Resize", "Upsample")
def resize(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Resize 10..19 and Upsample 7..9, nearest, of one or two spatial axes.

    Raises:
        UserError: if positions are neither all repeated equally often nor evenly spaced.
    """
    x, given = walk.activation(node), attributes(node)
    mode = given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    if node.op_type == "Upsample" or len(node.input) == 2:
        mode, rounding = "asymmetric", "floor"
    how = f"with mode {given.get('mode')}, {mode}, {rounding}"
    known = mode in _PLACES and rounding in _ROUNDING and len(x.shape) in (2, 3)
    if given.get("mode", "nearest") != "nearest" or not known:
        raise _unsupported(node, how)
    sizes = _sizes(walk, node, x)
    if len(sizes) != len(x.shape) or sizes[0] != x.shape[0] or max(sizes) > MAXIMUM_SIZE:
        raise _unsupported(node, f"of {x.shape} to {sizes}")
    factors, bounds = [], [range(sizes[0])]
    for old, new in zip(x.shape[1:], sizes[1:], strict=True):
        places = (_ROUNDING[rounding](_PLACES[mode](i, old, new)) for i in range(new))
        sources = [min(max(place, 0), old - 1) for place in places]
        factor = max(1, new // old)
        step = max(1, sources[1] - sources[0]) if new > 1 else 1
        if sources == [i // factor for i in range(new)]:
            factors.append(factor)
            bounds.append(range(new))
        elif sources == list(range(sources[0], sources[-1] + 1, step)):
            factors.append(1)
            bounds.append(range(sources[0], sources[-1] + 1, step))
        else:
            raise _unsupported(node, f"of {x.shape} to {sizes} {how}")
    y = _repeated(walk, node, x, factors)
    return movement.part(walk, node, y, bounds)


def _repeated(walk: Walk, node: onnx.NodeProto, x: Activation, factors: list[int]) -> Activation:
    if set(factors) == {1}:
        return x
    layer, image = layer_name(node), x
    if len(x.shape) == 2:
        image = movement.reshape(walk, x, (x.shape[0], 1, x.shape[1]), f"{layer}.image")
        factors = [1, *factors]
    name = walk.unique(layer)
    operator = Upsample(
        name=name,
        input=image.tensor,
        output=name,
        origin=(node.name,),
        factors=(factors[0], factors[1]),
    )
    y = movement.like(image, walk.add(operator, x.scale))
    if len(x.shape) == 3:
        return y
    return movement.reshape(walk, y, (y.shape[0], y.shape[2]), f"{layer}.signal")


def _sizes(walk: Walk, node: onnx.NodeProto, x: Activation) -> list[int]:
    """The new sizes without the batch axis, from `scales` or `sizes`; empty if they do not fit."""
    given, old = attributes(node), (1, *x.shape)
    scales = given.get("scales")
    index = 1 if node.op_type == "Upsample" or len(node.input) == 2 else 2
    if scales is None and len(node.input) > index and node.input[index]:
        scales = walk.array(node, index).ravel().tolist()
    sizes = [] if scales else walk.array(node, 3).ravel().tolist()
    axes = [axis % len(old) for axis in given.get("axes", range(len(old)))]
    if len(axes) != len(scales or sizes):
        return []
    new = list(old)
    for position, axis in enumerate(axes):
        if not scales:
            new[axis] = sizes[position]
            continue
        new[axis] = math.floor(old[axis] * Fraction(scales[position]))
        # A scale that is no ratio of two sizes, as float32 has it, would move the positions.
        if new[axis] < 1 or np.float32(new[axis] / old[axis]) != np.float32(scales[position]):
            return []
    return new[1:] if new[0] == 1 and min(new) > 0 else []


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="resize by whole factors with mode 'nearest', as torch.nn.Upsample does",
    )
