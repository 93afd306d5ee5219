# SPDX-License-Identifier: Apache-2.0
"""ConvTranspose: zeros between the integers, then a convolution with turned weights.

y[s·p + d·k] += W[k] · x[p]    is    y = conv(z, W turned)    with z[s·p] = x[p], else 0
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.biases import with_bias
from qdeploy.lowering.exact import collapsed
from qdeploy.lowering.linear import convolved, operands
from qdeploy.lowering.shapes import padding
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, QuantizedConstant, ScaledCodes
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.windows import MAXIMUM_SIZE, Window


@handles("ConvTranspose")
def transposed_convolution(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ConvTranspose 1..22, one or two spatial axes."""
    x, weights = operands(walk, node)
    given, rank, layer = attributes(node), len(x.shape) - 1, layer_name(node)
    groups = given.get("group", 1)
    fits = rank in (1, 2) and len(weights.shape) == rank + 2 and groups > 0
    if not fits or weights.shape[0] != x.shape[0] or x.shape[0] % groups:
        raise _unsupported(node, f"of shape {x.shape} with weights {weights.shape}")
    if not x.uniform and x.axis != 0:
        raise _unsupported(node, "across an axis with scales of its own")
    strides = given.get("strides", [1] * rank)
    dilations = given.get("dilations", [1] * rank)
    sides = _sides(node, x, weights.shape[2:])
    turned = _turned(weights, groups)
    image = x
    if rank == 1:
        image = movement.reshape(walk, x, (x.shape[0], 1, x.shape[1]), f"{layer}.image")
        turned = turned.viewed(lambda array: array[:, :, np.newaxis])
        strides, dilations, sides = [1, *strides], [1, *dilations], [(0, 0), *sides]
    image = _spaced(walk, node, image, strides[0], strides[1])
    (top, bottom), (left, right) = sides
    kept = [
        range(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(sides, image.shape[1:], strict=True)
    ]
    if not all(map(len, kept)):
        raise _unsupported(node, "of which padding leaves nothing")
    image = movement.part(walk, node, image, [range(image.shape[0]), *kept])
    frame = Window(
        kernel=(turned.shape[2], turned.shape[3]),
        strides=(1, 1),
        dilations=(dilations[0], dilations[1]),
        pads=(max(0, top), max(0, left), max(0, bottom), max(0, right)),
        extended=False,
    )
    y = convolved(walk, node, image, turned, frame)
    if rank == 1:
        y = movement.reshape(walk, y, (y.shape[0], y.shape[2]), f"{layer}.signal")
    return with_bias(walk, node, y) if len(node.input) > 2 and node.input[2] else y


def _sides(node: onnx.NodeProto, x: Activation, kernel: tuple[int, ...]) -> list[tuple[int, int]]:
    """Padding of the spaced image, before and after, of each axis; negative ones cut."""
    given, rank = attributes(node), len(kernel)
    strides, dilations, extra, pads = (
        given.get(name, [default] * length)
        for name, default, length in (
            ("strides", 1, rank),
            ("dilations", 1, rank),
            ("output_padding", 0, rank),
            ("pads", 0, 2 * rank),
        )
    )
    automatic, sizes = given.get("auto_pad", "NOTSET"), given.get("output_shape")
    if automatic.startswith("SAME") and sizes is None:
        sizes = [n * stride for n, stride in zip(x.shape[1:], strides, strict=True)]
    sides = []
    for axis, n in enumerate(x.shape[1:]):
        stride, extent = strides[axis], (kernel[axis] - 1) * dilations[axis] + 1
        before, after = (0, 0) if automatic == "VALID" else (pads[axis], pads[axis + rank])
        whole = (n - 1) * stride + extent + extra[axis]
        if sizes is not None:
            cut = whole - sizes[axis]
            if cut % 2 or cut < 0:
                raise _unsupported(node, f"where auto_pad or output_shape cuts {cut} of {whole}")
            before = after = cut // 2
        plain = min(stride, dilations[axis]) > 0 and 0 <= extra[axis] < max(stride, dilations[axis])
        if not plain or min(before, after) < 0 or max(whole, n * stride) > MAXIMUM_SIZE:
            raise _unsupported(node, f"of size {n} with stride {stride} to size {whole}")
        sides.append((extent - 1 - before, extent - after + extra[axis] - stride))
    return sides


def _turned(weights: QuantizedConstant, groups: int) -> QuantizedConstant:
    """Weights [I, O / groups, kernel] as those of a convolution, [O, I / groups, kernel]."""

    def turn(array: NDArray[Any]) -> NDArray[Any]:
        split = array.reshape(groups, -1, *array.shape[1:]).swapaxes(1, 2)
        joined = split.reshape(-1, *split.shape[2:])
        return np.flip(joined, tuple(range(2, joined.ndim)))

    def turned(plane: ScaledCodes) -> ScaledCodes:
        scale = plane.spread_scale
        scale = np.broadcast_to(scale, plane.codes.shape[:2] + scale.shape[2:])
        return ScaledCodes(turn(plane.codes), collapsed(turn(scale)))

    return weights.each(turned)


def _spaced(
    walk: Walk, node: onnx.NodeProto, image: Activation, rows: int, columns: int
) -> Activation:
    """An image with `columns` - 1 zeros behind each value and `rows` - 1 rows behind each row."""
    channels, height, width = image.shape
    if rows == columns == 1:
        return image
    layer = layer_name(node)
    image, code = padding(walk, node, image, Fraction(0))
    y = movement.reshape(walk, image, (channels, height * width, 1), f"{layer}.columns")
    if columns > 1:
        y = movement.pad(walk, node, y, (0, 0, 0, columns - 1), code)
    y = movement.reshape(walk, y, (channels, height, width * columns), f"{layer}.rows")
    if rows > 1:
        y = movement.pad(walk, node, y, (0, 0, 0, (rows - 1) * width * columns), code)
    shape = (channels, height * rows, width * columns)
    return movement.reshape(walk, y, shape, f"{layer}.spaced")


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="write the layer as torch.nn.ConvTranspose1d or 2d with explicit padding",
    )
