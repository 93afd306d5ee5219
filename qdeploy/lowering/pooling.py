# SPDX-License-Identifier: Apache-2.0
"""Max, average and global pooling, and reductions over axes.

The maximum commutes with rising functions; the division of an average joins the scale.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import MaxPool, SumPool
from qdeploy.lowering import movement, multiples
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.shapes import padding
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.windows import Window, window


@handles("MaxPool")
def max_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX MaxPool 1..22, one or two spatial axes."""
    x = _rising_input(walk, node)
    image, frame = _image(walk, x, node), _window(node, x)
    return _as_before(walk, _maximum(walk, node, image, frame), x, node)


@handles("AveragePool")
def average_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX AveragePool 1..22, one or two spatial axes."""
    x = walk.activation(node)
    image, frame = _image(walk, x, node), _window(node, x)
    if set(frame.dilations) != {1}:
        raise _unsupported(node, f"with dilations {attributes(node)['dilations']}")
    if attributes(node).get("count_include_pad", 0):
        y = _padded_average(walk, node, image, frame)
    else:
        y = _sum(walk, node, image, frame)
        y = multiples.divided(walk, node, y, frame.counts((image.shape[1], image.shape[2])))
    return _as_before(walk, y, x, node)


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX GlobalAveragePool and GlobalMaxPool 1..22: the mean or maximum of each channel."""
    maximum = node.op_type == "GlobalMaxPool"
    x = _rising_input(walk, node) if maximum else walk.activation(node)
    y = _reduced(walk, node, x, list(range(1, len(x.shape))), "Max" if maximum else "Mean")
    return movement.reshape(walk, y, (x.shape[0], *(1,) * (len(x.shape) - 1)), layer_name(node))


@handles("ReduceMean", "ReduceSum", "ReduceMax")
def reduce(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ReduceMean 1..18, ReduceSum 1..13 and ReduceMax 1..20 over axes behind the batch."""
    what = node.op_type.removeprefix("Reduce")
    x = _rising_input(walk, node) if what == "Max" else walk.activation(node)
    given = attributes(node)
    axes = given.get("axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = walk.array(node, 1).ravel().tolist()
    rank = len(x.shape) + 1
    places = sorted({axis % rank for axis in axes or ()})
    if not places or places[0] == 0 or len(places) != len(axes or ()):
        raise _unsupported(node, f"over axes {axes} of a tensor of shape {('N', *x.shape)}")
    y = _reduced(walk, node, x, [place - 1 for place in places], what)
    if given.get("keepdims", 1):
        shape = tuple(1 if k + 1 in places else size for k, size in enumerate(x.shape))
    else:
        shape = y.shape
    return movement.reshape(walk, y, shape, f"{layer_name(node)}.squeeze")


def _rising_input(walk: Walk, node: onnx.NodeProto) -> Activation:
    """The input of a maximum, with what waits for the next quantizer."""
    value = walk.value(node)
    pending = isinstance(value, Activation) and bool(value.functions)
    x = value if isinstance(value, Activation) and pending else walk.activation(node)
    return walk.with_positive_scale(x, wider=True)


def _reduced(
    walk: Walk, node: onnx.NodeProto, x: Activation, axes: list[int], what: str
) -> Activation:
    """The "Mean", "Sum" or "Max" over `axes` of the shape, which disappear; [1] if none is left."""
    if not x.uniform and x.axis in axes:
        raise _unsupported(node, "across an axis with scales of its own")
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept) or (1,)
    layer = layer_name(node)
    image = movement.transpose(walk, x, (*kept, *axes), f"{layer}.turned")
    size = (prod(x.shape[axis] for axis in axes), 1)
    if len(kept) == 1 and len(axes) == 2:
        size = (image.shape[1], image.shape[2])
    image = movement.reshape(walk, image, (prod(shape), *size), f"{layer}.image")
    whole = Window(size, size, (1, 1), (0, 0, 0, 0), extended=False)
    if what == "Max":
        y = _maximum(walk, node, image, whole)
    else:
        y = _sum(walk, node, image, whole)
        number = prod(size)
        if what == "Mean":
            y = replace(y, scale=tuple(s / number for s in y.scale))
        else:
            y = replace(y, offset=tuple(o * number for o in y.offset))
    return movement.reshape(walk, y, shape, f"{layer}.values")


def _maximum(walk: Walk, node: onnx.NodeProto, image: Activation, frame: Window) -> Activation:
    image = multiples.rising(walk, node, image)
    pads = frame.pads
    if set(frame.dilations) != {1} and any(pads):
        lowest = walk.builder.tensors[image.tensor].range.low
        inside = zip(frame.kernel, frame.dilations, image.shape[1:], strict=True)
        if any(kernel > 1 and dilation > size for kernel, dilation, size in inside):
            raise _unsupported(node, f"with dilations {frame.dilations} beyond the image")
        image = movement.pad(walk, node, image, pads, lowest)
        pads = (0, 0, 0, 0)
    name = walk.unique(layer_name(node))
    y = walk.add(
        MaxPool(
            name=name,
            input=image.tensor,
            output=name,
            origin=(node.name,),
            kernel=frame.kernel,
            strides=frame.strides,
            pads=pads,
            dilations=frame.dilations,
        ),
        image.scale,
    )
    return movement.like(image, y)


def _padded_average(
    walk: Walk, node: onnx.NodeProto, image: Activation, frame: Window
) -> Activation:
    """The average of which padding is a part, as real 0."""
    if frame.extended:
        raise _unsupported(node, "with ceil_mode and count_include_pad, which runtimes disagree on")
    if any(frame.pads) and any(image.offset):
        image, code = padding(walk, node, image, Fraction(0))
        image = movement.pad(walk, node, image, frame.pads, code)
        frame = replace(frame, pads=(0, 0, 0, 0))
    y = _sum(walk, node, image, frame)
    return replace(y, scale=tuple(s / prod(frame.kernel) for s in y.scale))


def _sum(walk: Walk, node: onnx.NodeProto, image: Activation, frame: Window) -> Activation:
    """The sums of the integers in each window; what they mean is still that of `image`."""
    name = walk.unique(layer_name(node))
    y = walk.add(
        SumPool(
            name=name,
            input=image.tensor,
            output=name,
            origin=(node.name,),
            kernel=frame.kernel,
            strides=frame.strides,
            pads=frame.pads,
        ),
        image.scale,
    )
    return movement.like(image, y)


def _window(node: onnx.NodeProto, x: Activation) -> Window:
    frame = window(node, x.shape[1:], attributes(node)["kernel_shape"])
    if x.axis != 0 and not x.uniform:
        raise _unsupported(node, "across an axis with scales of its own")
    return frame


def _image(walk: Walk, x: Activation, node: onnx.NodeProto) -> Activation:
    """A signal [C, L] as an image [C, 1, L]."""
    if len(x.shape) != 2:
        return x
    return movement.reshape(walk, x, (x.shape[0], 1, x.shape[1]), f"{layer_name(node)}.image")


def _as_before(walk: Walk, y: Activation, x: Activation, node: onnx.NodeProto) -> Activation:
    """An image [C, 1, L] as a signal again, if `x` was one."""
    if len(x.shape) == 3:
        return y
    return movement.reshape(walk, y, (y.shape[0], y.shape[2]), f"{layer_name(node)}.signal")


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="use a pooling over the whole image or plain windows",
    )
