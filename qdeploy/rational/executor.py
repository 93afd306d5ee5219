# SPDX-License-Identifier: Apache-2.0
"""Execute a QONNX graph in rational numbers, one sample, operator by operator."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from qdeploy.errors import UserError
from qdeploy.rational.arrays import Array, exact
from qdeploy.rational.registry import OPERATORS, QUANTIZERS, Attributes, Meaning

# Irrational functions that only end a network, and what may follow them.
OUTPUT_FUNCTIONS = ("Softmax", "Sigmoid")
MOVES = ("Identity", "Transpose", "Reshape")


class Executor:
    """A graph whose constant parts are computed once.

    Initializers and inputs count as the rational numbers that their floats are. A node of nothing
    but plain constants and shapes gives a constant again and is left to ONNX's reference evaluator
    (float32 as in the file), unless it is a quantizer, which makes rationals of its constants.
    A softmax or sigmoid at the end is left out.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = without_function(model).graph
        self._opsets = model.opset_import
        self._output = graph.output[0].name
        self._constants: dict[str, Array] = {
            t.name: numpy_helper.to_array(t) for t in graph.initializer
        }
        (self._input,) = (i.name for i in graph.input if i.name not in self._constants)
        self._nodes = []
        for node in _needed(graph, self._output):
            if all(name in self._constants for name in node.input if name):
                self._execute(node, self._constants)
            else:
                self._nodes.append(node)

    def run(self, x: ArrayLike) -> Array:
        """The output [1, ...] for one sample x [...] without batch axis, float32 or Fractions.

        Returns:
            Fractions; int64 where the output is an index.

        Raises:
            UserError: if the graph holds an operator that has no exact meaning here.
        """
        values = dict(self._constants)
        sample = np.asarray(x)
        sample = sample if sample.dtype == object else exact(sample.astype(np.float32))
        values[self._input] = sample[np.newaxis]
        for node in self._nodes:
            self._execute(node, values)
        return values[self._output]

    def _execute(self, node: onnx.NodeProto, values: dict[str, Array]) -> None:
        inputs = {name: values[name] for name in node.input if name}
        plain = all(value.dtype != object for value in inputs.values())
        results: tuple[Array, ...]
        if plain and node.op_type not in QUANTIZERS:
            alone = helper.make_function(
                "", node.op_type, list(inputs), list(node.output), [node], self._opsets
            )
            results = tuple(ReferenceEvaluator(alone).run(None, inputs, {}))
        elif node.op_type not in OPERATORS:
            raise UserError(
                f"operator {node.op_type} (node '{node.name}') has no exact meaning here",
                remedy="compare with the float32 executor only",
            )
        else:
            given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            operands = (exact(values[name]) if name else None for name in node.input)
            meaning = OPERATORS[node.op_type]
            if node.domain == "qonnx.custom_op.channels_last":
                meaning = _channels_last(meaning, weights=node.op_type == "Conv")
            result = meaning(given, *operands)
            results = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.output, results, strict=False))


def execute_exactly(model: onnx.ModelProto, x: ArrayLike) -> Array:
    """`Executor(model).run(x)`, for one sample."""
    return Executor(model).run(x)


def without_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the softmax or sigmoid at its end, if any, replaced by Identity."""
    name = model.graph.output[0].name
    for position in reversed(range(len(model.graph.node))):
        node = model.graph.node[position]
        if name in node.output:
            name = node.input[0] if node.input else ""
            if node.op_type not in MOVES:
                break
    else:
        return model
    if node.op_type not in OUTPUT_FUNCTIONS:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    identity = helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name)
    changed.graph.node[position].CopyFrom(identity)
    return changed


def _channels_last(meaning: Meaning, weights: bool) -> Meaning:
    """QONNX's operators on [N, ..., C]; those with weights read these as [O, ..., I]."""

    def apply(given: Attributes, x: Array, *others: Array) -> Array:
        if weights:
            others = (np.moveaxis(others[0], -1, 1), *others[1:])
        return np.moveaxis(meaning(given, np.moveaxis(x, -1, 1), *others), 1, -1)

    return apply


def _needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(node.input)
    return nodes[::-1]
