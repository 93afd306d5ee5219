# SPDX-License-Identifier: Apache-2.0
"""Counting how many ascending thresholds a value reaches, exactly.

Few thresholds are compared one by one. Many at nearly equal distances are guessed by a straight
line and the next one compared. Many others are searched: a table lookup per halving, for all
elements at once, so that 255 thresholds take 8 comparisons. No tensor grows by the number of
thresholds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.portable.exactness import FloatType, exact_type
from qdeploy.cpu.portable.graph import Graph
from qdeploy.cpu.portable.uniform import Line, boundary_line, line_through
from qdeploy.integer import InputQuantizer, Integers, Tensor, Threshold

# With more, a search is about as fast and takes fewer nodes.
MOST_COMPARISONS = 15
# With more, a guess is faster than comparisons.
MOST_WITHOUT_GUESS = 7


def threshold(graph: Graph, node: Threshold, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    never = x.range.high + 1
    # What lies beyond the range of x changes no comparison and need not be stored.
    thresholds = np.clip(node.thresholds, x.range.low, never)
    per_channel = (-1,) + (1,) * (len(x.shape) - 1)
    dtype, number = exact_type(x.range), thresholds.shape[1]
    line = line_through(thresholds, x.range, dtype) if number > MOST_WITHOUT_GUESS else None
    if line:
        table = thresholds.reshape(*per_channel, number)
        count = _guess(graph, node.name, value, table, line, dtype, node.thresholds)
    else:
        table = _padded(thresholds, never)
        table = table.reshape(*per_channel, table.shape[1])
        count = _count(graph, node.name, value, table, dtype, node.thresholds)
    step, base = node.step.reshape(per_channel), node.base.reshape(per_channel)
    return _affine(graph, node.name, count, step, base, exact_type(y.range))


def input_quantizer(graph: Graph, quantizer: InputQuantizer, value: str, x: Tensor) -> str:
    """Emit the comparison of the real input `value` with its boundaries; the codes are `x`."""
    name, boundaries = "quantize", quantizer.boundaries
    line = boundary_line(boundaries) if len(boundaries) > MOST_WITHOUT_GUESS else None
    if line:
        table = boundaries[np.newaxis]
        count = _guess(graph, name, value, table, line, np.float32, boundaries)
    else:
        # No value reaches NaN, not even infinity.
        table = _padded(boundaries[np.newaxis], np.nan)
        count = _count(graph, name, value, table, np.float32, boundaries)
    step, low = np.array(quantizer.step), np.array(quantizer.low)
    return _affine(graph, name, count, step, low, exact_type(x.range))


def _padded(table: NDArray[Any], never: float) -> NDArray[Any]:
    """Thresholds [rows, T] with columns that are never reached, as many as `_count` needs."""
    rows, count = table.shape
    wanted = max(1, count) if count <= MOST_COMPARISONS else 2 ** count.bit_length() - 1
    return np.hstack([table, np.full((rows, wanted - count), never, table.dtype)])


def _count(
    graph: Graph, name: str, value: str, table: NDArray[Any], dtype: FloatType, of: NDArray[Any]
) -> str:
    """How many thresholds each element of `value`, which has type `dtype`, reaches; in float32.

    `table`, [C or 1, ..., T], ascends along its last axis, as long as `_padded` makes it; the
    other axes broadcast to those of `value` behind the batch axis.
    """
    if table.shape[-1] <= MOST_COMPARISONS:
        return _compare(graph, name, value, table, dtype, of)
    return _search(graph, name, value, table, dtype, of)


def _compare(
    graph: Graph, name: str, value: str, table: NDArray[Any], dtype: FloatType, of: NDArray[Any]
) -> str:
    thresholds = graph.constant(f"{name}/thresholds", np.moveaxis(table, -1, 0), dtype, of=of)
    reached = []
    for threshold in graph.split(thresholds, f"{name}/each", parts=table.shape[-1]):
        comparison = graph.node("GreaterOrEqual", [value, threshold], f"{name}/compare")
        reached.append(graph.cast(comparison, np.bool_, np.float32, f"{name}/reached"))
    return graph.node("Sum", reached, f"{name}/count")


def _search(
    graph: Graph, name: str, value: str, table: NDArray[Any], dtype: FloatType, of: NDArray[Any]
) -> str:
    """Halve the candidates log2(T + 1) times; T + 1 is a power of two.

    `position` points into the flat table at the middle of each element's candidates, so a
    comparison there moves it by a quarter of their number, and the last one to its end.
    """
    width = table.shape[-1]
    rows = table.size // width
    row_starts = (np.arange(rows, dtype=np.int32) * width).reshape(table.shape[:-1])
    thresholds = graph.constant(f"{name}/thresholds", table.ravel(), dtype, of=of)
    position = graph.constant(f"{name}/middle", row_starts + np.int32(width // 2))
    move = (width + 1) // 4
    while True:
        threshold = graph.node("Gather", [thresholds, position], f"{name}/lookup")
        reached = graph.node("GreaterOrEqual", [value, threshold], f"{name}/compare")
        up = graph.shared(f"move/{max(move, 1)}", np.array(max(move, 1), np.int32))
        down = graph.shared(f"move/{-move}", np.array(-move, np.int32))
        step = graph.node("Where", [reached, up, down], f"{name}/halve")
        position = graph.node("Add", [position, step], f"{name}/move")
        if move == 0:
            break
        move //= 2
    starts = graph.constant(f"{name}/starts", row_starts)
    found = graph.node("Sub", [position, starts], f"{name}/found")
    return graph.cast(found, np.int32, np.float32, f"{name}/count")


def _guess(
    graph: Graph,
    name: str,
    value: str,
    table: NDArray[Any],
    line: Line,
    dtype: FloatType,
    of: NDArray[Any],
) -> str:
    """Like `_count`, with the guess of `line` and one comparison, for a `table` of any length."""
    width = table.shape[-1]
    per_channel = table.shape[:-1]
    slope = graph.constant(f"{name}/slope", line.slope.reshape(per_channel))
    shift = graph.constant(f"{name}/shift", line.shift.reshape(per_channel))
    limits = [np.array(limit, dtype) for limit in (0, width - 1)]
    least, most = (graph.shared(f"limit/{x}/{dtype.__name__}", x) for x in limits)
    guess = graph.node("Mul", [value, slope], f"{name}/line")
    guess = graph.node("Add", [guess, shift], f"{name}/shifted")
    guess = graph.node("Clip", [guess, least, most], f"{name}/limited")
    guess = graph.cast(guess, dtype, np.int32, f"{name}/guess")  # which rounds down
    position = guess
    if len(line.slope) > 1:
        starts = np.arange(len(line.slope), dtype=np.int32) * np.int32(width)
        row_starts = graph.constant(f"{name}/starts", starts.reshape(per_channel))
        position = graph.node("Add", [guess, row_starts], f"{name}/position")
    thresholds = graph.constant(f"{name}/thresholds", table.ravel(), dtype, of=of)
    following = graph.node("Gather", [thresholds, position], f"{name}/lookup")
    reached = graph.node("GreaterOrEqual", [value, following], f"{name}/compare")
    terms = [
        graph.cast(guess, np.int32, np.float32, f"{name}/guessed"),
        graph.cast(reached, np.bool_, np.float32, f"{name}/reached"),
    ]
    return graph.node("Add", terms, f"{name}/count")


def _affine(
    graph: Graph, name: str, count: str, step: Integers, base: Integers, dtype: FloatType
) -> str:
    """From a count to base + step · count."""
    value = graph.cast(count, np.float32, dtype, f"{name}/wide")
    if (step != 1).any():
        step_constant = graph.constant(f"{name}/step", step, dtype)
        value = graph.node("Mul", [value, step_constant], f"{name}/multiply")
    if base.any():
        base_constant = graph.constant(f"{name}/base", base, dtype)
        value = graph.node("Add", [value, base_constant], f"{name}/add")
    return value
