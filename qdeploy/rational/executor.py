# SPDX-License-Identifier: Apache-2.0
"""Execute a QONNX graph in rational numbers, one sample, operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from qdeploy.rational.arrays import Array, exact
from qdeploy.rational.registry import OPERATORS


def execute_exactly(model: onnx.ModelProto, x: ArrayLike) -> Array:
    """The graph's one output [1, ...] for one sample x float32 [...] without batch axis.

    Returns:
        Fractions; int64 where the output is an index. Initializers and x count as the rational
        numbers that their floats are.
    """
    graph = model.graph
    values: dict[str, Any] = {t.name: exact(numpy_helper.to_array(t)) for t in graph.initializer}
    (name,) = (i.name for i in graph.input if i.name not in values)
    values[name] = exact(np.asarray(x, np.float32)[np.newaxis])
    for node in graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[i] if i else None for i in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](given, *inputs)
    result: Array = values[graph.output[0].name]
    return result
