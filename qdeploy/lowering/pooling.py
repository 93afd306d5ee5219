# SPDX-License-Identifier: Apache-2.0
"""Max, average and global pooling.

The maximum commutes with rising functions; the division of an average joins the scale.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import MaxPool, SumPool
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles


@handles("MaxPool")
def max_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX MaxPool 1..22, one or two spatial axes."""
    value = walk.value(node)
    pending = isinstance(value, Activation) and bool(value.functions)
    x = value if isinstance(value, Activation) and pending else walk.activation(node)
    x = walk.with_positive_scale(x)
    if min(x.scale) < 0:
        raise UserError(
            f"MaxPool (node '{node.name}') behind a negative scale",
            layer=layer_name(node),
            remedy="put a quantized activation before the pooling",
        )
    kernel, strides, pads = _window(node, x)
    image = _image(walk, x, node)
    name = walk.unique(layer_name(node))
    y = walk.add(
        MaxPool(
            name=name,
            input=image.tensor,
            output=name,
            origin=(node.name,),
            kernel=kernel,
            strides=strides,
            pads=pads,
        ),
        x.scale,
    )
    y = replace(y, offset=x.offset, functions=x.functions)
    return _as_before(walk, y, x, node)


@handles("AveragePool")
def average_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX AveragePool 1..22, one or two spatial axes."""
    x = walk.activation(node)
    kernel, strides, pads = _window(node, x)
    if any(pads) and (not attributes(node).get("count_include_pad", 0) or any(x.offset)):
        raise UserError(
            f"AveragePool (node '{node.name}') divides by another number at the border",
            layer=layer_name(node),
            remedy="use count_include_pad=True, or no padding",
        )
    return _average(walk, node, x, kernel, strides, pads)


@handles("GlobalAveragePool")
def global_average_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX GlobalAveragePool 1..22: the mean of each channel."""
    x = walk.activation(node)
    if len(x.shape) not in (2, 3):
        raise _unsupported(node, f"on a tensor of shape {x.shape}")
    size = _two(x.shape[1:])
    return _average(walk, node, x, size, size, (0, 0, 0, 0))


@handles("ReduceMean")
def reduce_mean(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ReduceMean 1..18 over the spatial axes."""
    x = walk.activation(node)
    given = attributes(node)
    axes = given.get("axes")
    if axes is None and len(node.input) > 1:
        axes = walk.array(node, 1).ravel().tolist()
    spatial = list(range(2, len(x.shape) + 1))
    if len(x.shape) not in (2, 3) or sorted(a % (len(x.shape) + 1) for a in axes or ()) != spatial:
        raise _unsupported(node, f"over axes {axes} of a tensor of shape {x.shape}")
    size = _two(x.shape[1:])
    y = _average(walk, node, x, size, size, (0, 0, 0, 0))
    if given.get("keepdims", 1):
        return y
    return movement.reshape(walk, y, (x.shape[0],), f"{layer_name(node)}.squeeze")


def _average(
    walk: Walk,
    node: onnx.NodeProto,
    x: Activation,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> Activation:
    image = _image(walk, x, node)
    name = walk.unique(layer_name(node))
    y = walk.add(
        SumPool(
            name=name,
            input=image.tensor,
            output=name,
            origin=(node.name,),
            kernel=kernel,
            strides=strides,
            pads=pads,
        ),
        tuple(s / prod(kernel) for s in x.scale),
    )
    return _as_before(walk, replace(y, offset=x.offset), x, node)


def _window(
    node: onnx.NodeProto, x: Activation
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, strides and pads (top, left, bottom, right), for one or two spatial axes."""
    given = attributes(node)
    rank = len(x.shape) - 1
    kernel: list[int] = given.get("kernel_shape", [])
    strides: list[int] = given.get("strides", [1] * rank)
    pads: list[int] = given.get("pads", [0] * 2 * rank)
    plain = (
        set(given.get("dilations", [1])) == {1}
        and not given.get("ceil_mode", 0)
        and given.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )
    if not plain:
        raise _unsupported(node, "with dilation, ceil_mode or auto_pad")
    if rank not in (1, 2) or (len(kernel), len(strides), len(pads)) != (rank, rank, 2 * rank):
        raise _unsupported(node, f"with kernel {kernel} on a tensor of shape {x.shape}")
    if x.axis != 0 and not x.uniform:
        raise _unsupported(node, "across an axis with scales of its own")
    return _two(kernel), _two(strides), _four(pads)


def _image(walk: Walk, x: Activation, node: onnx.NodeProto) -> Activation:
    """A signal [C, L] as an image [C, 1, L]."""
    if len(x.shape) == 3:
        return x
    return movement.reshape(walk, x, (x.shape[0], 1, x.shape[1]), f"{layer_name(node)}.image")


def _as_before(walk: Walk, y: Activation, x: Activation, node: onnx.NodeProto) -> Activation:
    """An image [C, 1, L] as a signal again, if `x` was one."""
    if len(x.shape) == 3:
        return y
    return movement.reshape(walk, y, (y.shape[0], y.shape[2]), f"{layer_name(node)}.signal")


def _two(sizes: list[int] | tuple[int, ...]) -> tuple[int, int]:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _four(pads: list[int]) -> tuple[int, int, int, int]:
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


def _unsupported(node: onnx.NodeProto, what: Any) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="use a pooling over the whole image or plain windows without dilation and ceil_mode",
    )
