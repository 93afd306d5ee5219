# SPDX-License-Identifier: Apache-2.0
"""Pooling over windows."""

from __future__ import annotations

import numpy as np

from qdeploy.cpu.portable.convolution import convolution
from qdeploy.cpu.portable.graph import Graph
from qdeploy.integer import Convolution, MaxPool, Plane, SumPool, Tensor, Weights


def max_pool(graph: Graph, node: MaxPool, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    return graph.node(
        "MaxPool",
        [value],
        node.name,
        kernel_shape=node.kernel,
        strides=node.strides,
        pads=node.pads,
        dilations=node.dilations,
    )


def sum_pool(graph: Graph, node: SumPool, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` as a depthwise convolution with ones; AveragePool would divide in floats."""
    ones = Plane(np.ones((x.channels, 1, *node.kernel), np.int8), np.ones((1, 1, 1, 1), np.int64))
    depthwise = Convolution(
        name=node.name,
        input=node.input,
        output=node.output,
        weights=Weights((ones,)),
        strides=node.strides,
        pads=node.pads,
        groups=x.channels,
    )
    return convolution(graph, depthwise, value, x, y)
