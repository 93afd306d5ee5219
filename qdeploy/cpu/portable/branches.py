# SPDX-License-Identifier: Apache-2.0
"""Operators where branches meet."""

from __future__ import annotations

import numpy as np

from qdeploy.cpu.portable.exactness import FLOAT32_LIMIT, exact_type, require_float64, sum_bound
from qdeploy.cpu.portable.graph import Graph
from qdeploy.integer import Add, Concat, IntegerNetwork


def add(graph: Graph, node: Add, values: dict[str, str], network: IntegerNetwork) -> str:
    """Emit `node`; `values` holds the value of each tensor so far.

    Raises:
        UserError: if partial sums reach 2^53.
    """
    # ONNX Runtime may multiply a convolution's weights by the multiplier and let the convolution
    # add to the other branch, so the bound is that of all products together.
    bound = sum(
        max(1, abs(multiplier)) * sum_bound(network, name)
        for multiplier, name in zip(node.multipliers, node.inputs, strict=True)
    )
    require_float64(bound, node.name)
    dtype = np.float32 if bound < FLOAT32_LIMIT else np.float64
    terms = []
    for index, (multiplier, name) in enumerate(zip(node.multipliers, node.inputs, strict=True)):
        label = f"{node.name}/branch{index}"
        term = graph.cast(values[name], exact_type(network.tensors[name].range), dtype, label)
        if multiplier != 1:
            factor = graph.constant(f"{label}/multiplier", np.array(multiplier, dtype))
            term = graph.node("Mul", [term, factor], f"{label}/multiply")
        terms.append(term)
    total = graph.node("Sum", terms, node.name)
    output_type = exact_type(network.tensors[node.output].range)
    return graph.cast(total, dtype, output_type, f"{node.name}/output")


def concat(graph: Graph, node: Concat, values: dict[str, str], network: IntegerNetwork) -> str:
    """Emit `node`; `values` holds the value of each tensor so far."""
    dtype = exact_type(network.tensors[node.output].range)
    parts = [
        graph.cast(
            values[name],
            exact_type(network.tensors[name].range),
            dtype,
            f"{node.name}/branch{index}",
        )
        for index, name in enumerate(node.inputs)
    ]
    return graph.node("Concat", parts, node.name, axis=1)
