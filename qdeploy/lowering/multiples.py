# SPDX-License-Identifier: Apache-2.0
"""Channels times small integers: a depthwise convolution of one weight each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import lcm, prod

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Convolution, Plane, Weights
from qdeploy.lowering import movement
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk

# Each position of a pooled image costs a weight.
MAXIMUM_POSITIONS = 1 << 16


def multiplied(
    walk: Walk, node: onnx.NodeProto, image: Activation, factors: Sequence[int]
) -> Activation:
    """Each channel of an image [C, H, W] times its integer; the meaning's scale is divided by it.

    Factors are not 0.
    """
    name = walk.unique(f"{layer_name(node)}.factors")
    codes = np.sign(np.array(factors, np.int64)).astype(np.int8).reshape(-1, 1, 1, 1)
    multipliers = np.abs(np.array(factors, np.int64)).reshape(-1, 1, 1, 1)
    if (multipliers == multipliers[0]).all():
        multipliers = multipliers[:1]
    operator = Convolution(
        name=name,
        input=image.tensor,
        output=name,
        origin=(node.name,),
        weights=Weights((Plane(codes, multipliers),)),
        groups=len(factors),
    )
    scale = tuple(image.scale[c % len(image.scale)] / f for c, f in enumerate(factors))
    scale = scale[:1] if len(set(scale)) == 1 else scale
    y = walk.add(operator, scale)
    return replace(image, tensor=y.tensor, scale=scale)


def rising(walk: Walk, node: onnx.NodeProto, image: Activation) -> Activation:
    """The same values [C, H, W] with no negative scale: -s · x = s · (-x)."""
    signs = [-1 if scale < 0 else 1 for scale in image.scale]
    if -1 not in signs:
        return image
    return multiplied(walk, node, image, signs * (image.shape[0] // len(signs)))


def divided(
    walk: Walk,
    node: onnx.NodeProto,
    image: Activation,
    divisors: tuple[Sequence[int], Sequence[int]],
) -> Activation:
    """Every position (y, x) of an image [C, H, W] divided by divisors[0][y] · divisors[1][x].

    With L a common multiple of the divisors n, sum / n = 1/L · (L/n) · sum. The positions become
    channels for this, and images again.

    Raises:
        UserError: if the divisors differ in an image of too many positions.
    """
    counts = [rows * columns for rows in divisors[0] for columns in divisors[1]]
    common = lcm(*counts)
    scale = tuple(s / common for s in image.scale)
    if len(set(counts)) == 1:
        return replace(image, scale=scale)
    if len(counts) > MAXIMUM_POSITIONS:
        raise UserError(
            f"{node.op_type} (node '{node.name}') divides by another number at the border of an "
            f"image of {len(counts)} positions",
            layer=layer_name(node),
            remedy="use count_include_pad=True, or no padding",
        )
    layer, shape = layer_name(node), image.shape
    rows = movement.reshape(walk, image, (shape[0], prod(shape[1:])), f"{layer}.positions")
    turned = movement.transpose(walk, rows, (1, 0), f"{layer}.turned")
    turned = movement.reshape(walk, turned, (*turned.shape, 1), f"{layer}.image")
    plain = replace(turned, scale=tuple(turned.scale[0] / count for count in counts), axis=0)
    y = multiplied(walk, node, plain, [common // count for count in counts])
    y = replace(turned, tensor=y.tensor, scale=scale)
    y = movement.reshape(walk, y, y.shape[:2], f"{layer}.rows")
    y = movement.transpose(walk, y, (1, 0), f"{layer}.back")
    return movement.reshape(walk, y, shape, layer)
