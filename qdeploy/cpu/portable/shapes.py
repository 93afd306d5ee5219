# SPDX-License-Identifier: Apache-2.0
"""Operators that move, repeat or surround integers and compute nothing."""

from __future__ import annotations

import numpy as np

from qdeploy.cpu.portable.exactness import FloatType, exact_type
from qdeploy.cpu.portable.graph import Graph
from qdeploy.integer import Flatten, Pad, Reshape, Slice, Tensor, Transpose, Upsample


def reshaped(graph: Graph, value: str, shape: tuple[int, ...], name: str) -> str:
    """`value` as [N, *shape]."""
    target = graph.constant(f"{name}_shape", np.array((0, *shape)))
    return graph.node("Reshape", [value, target], name)


def padded(
    graph: Graph,
    value: str,
    pads: tuple[int, int, int, int],
    code: int,
    dtype: FloatType,
    name: str,
) -> str:
    """`value`, [N, C, H, W] of type `dtype`, with `code` around it (top, left, bottom, right)."""
    top, left, bottom, right = pads
    widths = graph.constant(f"{name}_pads", np.array([0, 0, top, left, 0, 0, bottom, right]))
    constant = graph.constant(f"{name}_code", np.array(code, dtype))
    return graph.node("Pad", [value, widths, constant], name)


def pad(graph: Graph, node: Pad, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    dtype = exact_type(y.range)
    value = graph.cast(value, exact_type(x.range), dtype, f"{node.name}/input")
    value = padded(graph, value, node.pads, node.pad_code, dtype, node.name)
    if node.pad_code == 0:
        # ONNX Runtime gives zeros to the pads of a MaxPool behind, where they cannot win and must
        # not exceed the kernel. This changes no value, but is a node between the two.
        lowest = graph.constant(f"{node.name}/lowest", np.array(y.range.low, dtype))
        value = graph.node("Max", [value, lowest], f"{node.name}/apart")
    return value


def upsample(graph: Graph, node: Upsample, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` by repeating along new axes; Resize has no float64 and computes in floats."""
    channels, height, width = x.shape
    times = np.array((1, 1, 1, node.factors[0], 1, node.factors[1]))
    value = reshaped(graph, value, (channels, height, 1, width, 1), f"{node.name}/apart")
    times_constant = graph.constant(f"{node.name}/factors", times)
    value = graph.node("Expand", [value, times_constant], f"{node.name}/repeat")
    return reshaped(graph, value, y.shape, node.name)


def slice_(graph: Graph, node: Slice, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    axes = np.arange(1, len(x.shape) + 1)
    bounds = {"starts": node.starts, "stops": node.stops, "axes": axes, "steps": node.steps}
    constants = [
        graph.constant(f"{node.name}/{name}", np.array(values, np.int64))
        for name, values in bounds.items()
    ]
    return graph.node("Slice", [value, *constants], node.name)


def reshape(graph: Graph, node: Reshape, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node`."""
    return reshaped(graph, value, y.shape, node.name)


def transpose(graph: Graph, node: Transpose, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node`, if it changes anything."""
    order = (0, *(axis + 1 for axis in node.order))
    if order == tuple(range(len(order))):
        # ONNX Runtime would take any Transpose in front of Gemm for that of a matrix.
        return value
    return graph.node("Transpose", [value], node.name, perm=order)


def flatten(graph: Graph, node: Flatten, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node`."""
    return graph.node("Flatten", [value], node.name, axis=1)
