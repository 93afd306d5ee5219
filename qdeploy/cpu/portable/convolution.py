# SPDX-License-Identifier: Apache-2.0
"""Exact integer convolution with ONNX Runtime's floating-point operators.

The float32 operator Conv does it where all partial sums stay below 2^24. Where they do not, the
input channels are cut into pieces that do, and the pieces are added in float64. Where one channel
alone is too much for float32, windows are gathered and multiplied as float64 matrices, since
ONNX Runtime has no float64 Conv on CPUs: several times slower, and only needed where a weight and
an activation together have more than about 20 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.portable.exactness import (
    FLOAT32_LIMIT,
    exact_type,
    partial_sum_bounds,
    weights_fit_float32,
)
from qdeploy.cpu.portable.expansion import expand
from qdeploy.cpu.portable.graph import Graph
from qdeploy.cpu.portable.shapes import padded, reshaped
from qdeploy.integer import Convolution, Integers, Tensor


def convolution(graph: Graph, node: Convolution, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    bounds = partial_sum_bounds(node, x.range)
    if bounds.max() >= FLOAT32_LIMIT or not weights_fit_float32(node.weights):
        return _float64_product(graph, node, value, x, y)
    value = graph.cast(value, exact_type(x.range), np.float32, f"{node.name}/input")
    if node.pad_code:
        value = padded(graph, value, node.pads, node.pad_code, np.float32, f"{node.name}/pad")
    weights = expand(graph, node.name, node.weights, np.float32)
    pieces = channel_pieces(bounds)
    if len(pieces) == 1:
        return _convolve(graph, node, value, weights, node.name)
    group_starts = np.arange(node.groups)[:, np.newaxis] * node.weights.shape[1]
    sums = []
    for index, piece in enumerate(pieces):
        name = f"{node.name}/piece{index}"
        # A piece holds the same channels of every group.
        x_channels = graph.constant(f"{name}/x_channels", (group_starts + piece).ravel())
        w_channels = graph.constant(f"{name}/w_channels", piece)
        x_part = graph.node("Gather", [value, x_channels], f"{name}/x", axis=1)
        w_part = graph.node("Gather", [weights, w_channels], f"{name}/expand", axis=1)
        y_part = _convolve(graph, node, x_part, w_part, name)
        sums.append(graph.cast(y_part, np.float32, np.float64, f"{name}/float64"))
    total = graph.node("Sum", sums, node.name)
    return graph.cast(total, np.float64, exact_type(y.range), f"{node.name}/output")


def channel_pieces(bounds: NDArray[np.float64]) -> list[Integers]:
    """Cut input channels 0..I-1 so that each piece's bounds [O, I] sum to less than 2^24."""
    cuts, total = [0], np.zeros(len(bounds))
    for channel, bound in enumerate(bounds.T):
        total = total + bound
        if total.max() >= FLOAT32_LIMIT:
            cuts.append(channel)
            total = bound
    ends = [*cuts[1:], bounds.shape[1]]
    return [np.arange(start, end) for start, end in zip(cuts, ends, strict=True)]


def _convolve(graph: Graph, node: Convolution, value: str, weights: str, name: str) -> str:
    return graph.node(
        "Conv",
        [value, weights],
        name,
        pads=(0, 0, 0, 0) if node.pad_code else node.pads,
        strides=node.strides,
        dilations=node.dilations,
        group=node.groups,
    )


def _float64_product(graph: Graph, node: Convolution, value: str, x: Tensor, y: Tensor) -> str:
    """Gather the windows as columns, [N, groups, I·KH·KW, OH·OW], and multiply."""
    name = node.name
    outputs, channels, kernel_height, kernel_width = node.weights.shape
    _, height, width = y.shape
    top, left, bottom, right = node.pads
    padded_height, padded_width = x.shape[1] + top + bottom, x.shape[2] + left + right
    rows = np.add.outer(
        np.arange(kernel_height) * node.dilations[0], np.arange(height) * node.strides[0]
    )
    columns = np.add.outer(
        np.arange(kernel_width) * node.dilations[1], np.arange(width) * node.strides[1]
    )
    positions = rows[:, np.newaxis, :, np.newaxis] * padded_width + columns[:, np.newaxis]
    flat = (x.channels, padded_height * padded_width)
    window_shape = (node.groups, channels * kernel_height * kernel_width, height * width)
    weight_shape = (node.groups, outputs // node.groups, channels * kernel_height * kernel_width)

    value = graph.cast(value, exact_type(x.range), np.float64, f"{name}/input")
    value = padded(graph, value, node.pads, node.pad_code, np.float64, f"{name}/pad")
    value = reshaped(graph, value, flat, f"{name}/flat")
    index = graph.constant(
        f"{name}/positions", positions.reshape(-1, height * width).astype(np.int32), np.int64
    )
    value = graph.node("Gather", [value, index], f"{name}/gather", axis=2)
    value = reshaped(graph, value, window_shape, f"{name}/windows")
    weights = expand(graph, name, node.weights, np.float64)
    matrix_shape = graph.constant(f"{name}/expand/matrix_shape", np.array(weight_shape))
    weights = graph.node("Reshape", [weights, matrix_shape], f"{name}/expand/matrix")
    value = graph.node("MatMul", [weights, value], f"{name}/product")
    value = reshaped(graph, value, y.shape, name)
    return graph.cast(value, np.float64, exact_type(y.range), f"{name}/output")
