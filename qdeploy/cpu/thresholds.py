# SPDX-License-Identifier: Apache-2.0
"""Counting how many ascending thresholds a value reaches, exactly.

Few thresholds are compared one by one. Many are searched: a table lookup per halving, for all
elements at once, so that 255 thresholds take 8 comparisons and no tensor grows by the number of
thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.exactness import FloatType, exact_type
from qdeploy.cpu.graph import Graph
from qdeploy.integer import InputQuantizer, Integers, Tensor, Threshold

# With more, a search by lookups is about as fast and takes fewer nodes.
MOST_COMPARISONS = 15

Table = NDArray[np.float32] | Integers


def threshold(graph: Graph, node: Threshold, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    # Beyond one above the range nothing changes, and all thresholds fit the type of x.
    table = np.clip(node.thresholds, x.range.low, x.range.high + 1)
    dtype = exact_type(y.range)
    count = _count(graph, node.name, value, table, exact_type(x.range), len(x.shape), dtype)
    per_channel = (-1,) + (1,) * (len(x.shape) - 1)
    step, base = node.step.reshape(per_channel), node.base.reshape(per_channel)
    return _affine(graph, node.name, count, step, base, dtype)


def input_quantizer(graph: Graph, quantizer: InputQuantizer, value: str, x: Tensor) -> str:
    """Emit the comparison of the real input `value` with its float32 boundaries."""
    table = quantizer.boundaries[np.newaxis]
    dtype = exact_type(x.range)
    count = _count(graph, "quantize", value, table, np.float32, len(x.shape), dtype)
    return _affine(
        graph, "quantize", count, np.array(quantizer.step), np.array(quantizer.low), dtype
    )


def _count(
    graph: Graph,
    name: str,
    value: str,
    table: Table,
    value_type: FloatType,
    rank: int,
    count_type: FloatType,
) -> str:
    """Number of thresholds that each element of `value` [N, C, ...] reaches.

    Args:
        table: ascending thresholds, [C or 1, T]: float32, or integers that `value_type` holds.
        rank: number of axes after the batch axis.
        count_type: type of the result.
    """
    if table.shape[1] <= MOST_COMPARISONS:
        return _compare(graph, name, value, table, value_type, rank, count_type)
    return _search(graph, name, value, table, value_type, rank, count_type)
