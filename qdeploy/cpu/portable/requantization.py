# SPDX-License-Identifier: Apache-2.0
"""Rounded integer quotients with standard operators, exactly.

Numerators n below 2^51 and divisors d are exact in float64, and a quotient that is no integer (for
the halves: no multiple of 1/2) is away from it by 1/d (1/2d) or more. The one or two roundings of
float64 shift it by less, so that no rounding to an integer is led astray. Larger numerators only
come with the rule FLOOR; int64 divides them, moved to where they are positive.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdeploy.cpu.portable.exactness import exact_type, magnitude
from qdeploy.cpu.portable.graph import Graph
from qdeploy.errors import InternalError
from qdeploy.integer import FLOAT64_NUMERATORS, INT64_NUMERATORS, Requantize, Tensor


def requantize(graph: Graph, node: Requantize, value: str, x: Tensor, y: Tensor) -> str:
    """Emit `node` for the input `value`, which stands for tensor `x`; the result stands for `y`."""
    quotient, name = node.quotient, node.name
    bound = quotient.numerator_bound(magnitude(x.range))
    per_channel = (-1, *(1,) * (len(x.shape) - 1))
    p, q, d, low, high = (
        values.reshape(per_channel)
        for values in (
            quotient.multiplier,
            quotient.addend,
            quotient.divisor,
            quotient.low,
            quotient.high,
        )
    )
    dtype = np.float64 if bound < FLOAT64_NUMERATORS else np.int64
    lift = np.zeros_like(d)
    if dtype is np.int64:
        if bound >= INT64_NUMERATORS or quotient.rounding != "FLOOR":
            raise InternalError(f"{name}: numerators reach {bound}, rounded by {quotient.rounding}")
        lift = bound // (2 * d) + 1
        q = q + lift * d
    value = graph.cast(value, exact_type(x.range), dtype, f"{name}/wide")
    if (p != 1).any():
        value = graph.node("Mul", [value, graph.constant(f"{name}/multiplier", p, dtype)], name)
    if q.any():
        value = graph.node("Add", [value, graph.constant(f"{name}/addend", q, dtype)], name)
    if (d != 1).any():
        value = graph.node("Div", [value, graph.constant(f"{name}/divisor", d, dtype)], name)
    if dtype is np.float64:
        value = _ROUNDING[quotient.rounding](graph, value, f"{name}/round")
    for operator, limit in (("Max", low + lift), ("Min", high + lift)):
        value = graph.node(
            operator, [value, graph.constant(f"{name}/limit", limit, dtype)], f"{name}/clip"
        )
    if lift.any():
        value = graph.node("Sub", [value, graph.constant(f"{name}/lift", lift, dtype)], name)
    return graph.cast(value, dtype, exact_type(y.range), f"{name}/output")


def _to_zero(operator: str, shift: float) -> Callable[[Graph, str, str], str]:
    """sign(v) · operator(|v| + shift): rules that treat both signs alike."""

    def emit(graph: Graph, value: str, name: str) -> str:
        sign = graph.node("Sign", [value], f"{name}/sign")
        value = graph.node("Abs", [value], f"{name}/abs")
        if shift:
            half = graph.shared(f"shift/{shift}", np.array(shift))
            value = graph.node("Add", [value, half], f"{name}/shift")
        value = graph.node(operator, [value], name)
        return graph.node("Mul", [value, sign], f"{name}/signed")

    return emit


_ROUNDING: dict[str, Callable[[Graph, str, str], str]] = {
    "HALF_EVEN": lambda graph, value, name: graph.node("Round", [value], name),
    "FLOOR": lambda graph, value, name: graph.node("Floor", [value], name),
    "CEIL": lambda graph, value, name: graph.node("Ceil", [value], name),
    "DOWN": _to_zero("Floor", 0),
    "UP": _to_zero("Ceil", 0),
    "HALF_UP": _to_zero("Floor", 0.5),
    "HALF_DOWN": _to_zero("Ceil", -0.5),
}
