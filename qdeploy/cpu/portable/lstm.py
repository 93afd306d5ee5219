# SPDX-License-Identifier: Apache-2.0
"""A layer of long short-term memory in standard operators: a matrix product and a Scan.

The products of all inputs are one MatMul; the Scan goes through the steps. Weights are packed and
expanded as those of other layers. All tensors hold the layer's integers exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import qdeploy
from qdeploy.cpu.portable.exactness import (
    FLOAT32_LIMIT,
    FloatType,
    exact_type,
    magnitude,
    partial_sum_bounds,
    weights_fit_float32,
)
from qdeploy.cpu.portable.expansion import expand
from qdeploy.cpu.portable.graph import IR_VERSION, OPSET, PRODUCER, Graph
from qdeploy.cpu.portable.requantization import requantize
from qdeploy.cpu.portable.thresholds import threshold
from qdeploy.errors import UserError
from qdeploy.integer import (
    FLOAT64_NUMERATORS,
    Linear,
    Lstm,
    LstmLayer,
    Quotient,
    Requantize,
    StepFunction,
    Tensor,
    Threshold,
    ValueRange,
    Weights,
)

State = tuple[str, str]
_INPUTS, _OUTPUTS = ("x", "h", "c"), ("outputs", "last_h", "last_c")


def lstm(graph: Graph, node: Lstm, value: str, x: Tensor, y: Tensor) -> str:
    """Codes [N, T, I] to the hidden states [N, T, H]."""
    layer = node.layer
    emitter = _Emitter(graph, layer)
    codes = graph.cast(value, exact_type(x.range), emitter.dtype, f"{node.name}/codes")
    codes = graph.node("Transpose", [codes], f"{node.name}/turned", perm=[1, 0, 2])
    count = graph.outputs("Shape", [codes], f"{node.name}/count", 1, start=1, end=2)
    size = graph.constant(f"{node.name}/size", np.array([layer.hidden_size]))
    shape = graph.node("Concat", [*count, size], f"{node.name}/shape", axis=0)
    states = [
        graph.node("Expand", [graph.constant("zero", np.zeros(1, dtype)), shape], "zeros")
        for dtype in emitter.types
    ]
    outputs = emitter.steps(codes, states)[2]
    return graph.node("Transpose", [outputs], f"{node.name}/back", perm=[1, 0, 2])


def lstm_to_onnx(layer: LstmLayer) -> onnx.ModelProto:
    """The layer as an ONNX model, opset 17.

    Inputs are int64 codes x [T, N, I], h and c [N, H]; outputs are int64 outputs [T, N, H], last_h
    and last_c [N, H].

    Raises:
        UserError: if sums or products do not fit float64.
    """
    graph = Graph(taken=(*_INPUTS, *_OUTPUTS))
    emitter = _Emitter(graph, layer)
    x = graph.cast("x", np.int64, emitter.dtype, "codes")
    states = [
        graph.cast(name, np.int64, dtype, "state")
        for name, dtype in zip(("h", "c"), emitter.types, strict=True)
    ]
    last_h, last_c, outputs = emitter.steps(x, states)
    for value, name in zip((outputs, last_h, last_c), _OUTPUTS, strict=True):
        graph.output("Cast", [value], name, to=TensorProto.INT64)
    size = layer.hidden_size
    shapes = ["T", "N", layer.input_size], ["N", size], ["N", size], ["T", "N", size]
    values = [
        _value(name, np.int64, shape)
        for name, shape in zip((*_INPUTS, *_OUTPUTS), (*shapes, *shapes[1:3]), strict=True)
    ]
    main = helper.make_graph(graph.nodes, layer.name, values[:3], values[3:], graph.initializers)
    return helper.make_model(
        main,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=qdeploy.__version__,
    )


class _Emitter:
    """Appends a layer to a graph.

    Attributes:
        types: of h and c.
        dtype: of inputs and sums.
    """

    def __init__(self, graph: Graph, layer: LstmLayer) -> None:
        self.layer, self.graph, self.size = layer, graph, layer.hidden_size
        self.types = exact_type(layer.hidden), exact_type(layer.state)
        bound = float(np.abs(layer.bias).max())
        for weights, x in self._products():
            node = Linear(name=layer.name, input="x", output="y", weights=weights)
            bound += float(partial_sum_bounds(node, x).sum(axis=1).max())
        narrow = all(weights_fit_float32(weights) for weights, _ in self._products())
        self.dtype: FloatType = np.float32 if narrow and bound < FLOAT32_LIMIT else np.float64
        for quotient, factors in layer.products():
            bound = quotient.numerator_bound(magnitude(factors[0]) * magnitude(factors[1]))
            if bound >= FLOAT64_NUMERATORS and quotient.rounding != "FLOOR":
                raise UserError(
                    f"products of codes {factors[0]} and {factors[1]} do not fit float64",
                    layer=layer.name,
                    remedy="use fewer bits for the cell state or its scale",
                )

    def _products(self) -> tuple[tuple[Weights, ValueRange], ...]:
        layer = self.layer
        return (layer.input_weights, layer.input), (layer.hidden_weights, layer.hidden)

    def steps(self, x: str, states: list[str]) -> list[str]:
        """Codes [T, N, I] and the states h and c to the last h and c, and h of all steps."""
        graph, layer = self.graph, self.layer
        weights = [
            expand(graph, f"{layer.name}_{name}", of, self.dtype)
            for name, (of, _) in zip(("input", "hidden"), self._products(), strict=True)
        ]
        turned = graph.node("Transpose", [weights[0]], "input/turned", perm=[1, 0])
        sums = graph.node("MatMul", [x, turned], f"{layer.name}_input")
        bias = graph.constant(f"{layer.name}/bias", layer.bias, self.dtype, of=layer.bias)
        sums = graph.node("Add", [sums, bias], "biased/sums")
        given = [graph.unnamed() for _ in range(3)]
        nodes, made = graph.subgraph(lambda: self._body(weights[1], *given))
        return self._scan(nodes, given, made, [*states, sums])

    def _scan(
        self, nodes: list[onnx.NodeProto], given: list[str], made: State, inputs: list[str]
    ) -> list[str]:
        """The Scan over `nodes`, which make the next states of `given`, two states and sums."""
        graph = self.graph
        results = [graph.unnamed() for _ in range(3)]
        identities = [
            helper.make_node("Identity", [value], [name])
            for value, name in zip((*made, made[0]), results, strict=True)
        ]
        kinds = (*self.types, self.dtype)
        subgraph = helper.make_graph(
            [*nodes, *identities],
            "step",
            [
                _value(name, kind, ["N", size])
                for name, kind, size in zip(
                    given, kinds, (self.size, self.size, 4 * self.size), strict=True
                )
            ],
            [  # ONNX Runtime before 1.25 needs their shapes
                _value(name, kind, ["N", self.size])
                for name, kind in zip(results, (*self.types, self.types[0]), strict=True)
            ],
        )
        return graph.outputs("Scan", inputs, self.layer.name, 3, body=subgraph, num_scan_inputs=1)

    def _body(self, hidden_weights: str, h: str, c: str, sums: str) -> State:
        """One step: the next h and c."""
        graph, layer = self.graph, self.layer
        h = graph.cast(h, self.types[0], self.dtype, "wide/h")
        product = graph.node("Gemm", [h, hidden_weights], f"{layer.name}_hidden", transB=1)
        sums = graph.node("Add", [sums, product], "total/sums")
        sums = graph.cast(sums, self.dtype, exact_type(layer.sums), "narrow")
        axis = graph.constant("gates", np.array([self.size] * 4))
        parts = graph.outputs("Split", [sums, axis], "gates", 4, axis=1)
        i, f, g, o = (
            self._steps(name, gate, part, layer.sums)
            for name, gate, part in zip("ifgo", layer.gates, parts, strict=True)
        )
        ranges = [gate.range for gate in layer.gates]
        kept = self._product(layer.forget, (f, ranges[1]), (c, layer.state), layer.state)
        added = self._product(layer.update, (i, ranges[0]), (g, ranges[2]), layer.state)
        low, high = (
            graph.constant("limit", np.array(limit, self.types[1]))
            for limit in (layer.state.low, layer.state.high)
        )
        c = graph.node("Clip", [graph.node("Add", [kept, added], "c"), low, high], "clip")
        tanh = self._steps("tanh", layer.cell, c, layer.state)
        h = self._product(layer.output, (o, ranges[3]), (tanh, layer.cell.range), layer.hidden)
        return h, c

    def _steps(self, name: str, steps: StepFunction, value: str, x: ValueRange) -> str:
        node = Threshold(
            name=f"{self.layer.name}_{name}",
            input="x",
            output="y",
            thresholds=steps.thresholds[np.newaxis],
            base=np.array([steps.low]),
            step=np.array([1]),
        )
        tensors = (Tensor("tensor", (self.size,), limits) for limits in (x, steps.range))
        return threshold(self.graph, node, value, *tensors)

    def _product(
        self,
        quotient: Quotient,
        a: tuple[str, ValueRange],
        b: tuple[str, ValueRange],
        limits: ValueRange,
    ) -> str:
        """The quotient of the product of two values with their ranges."""
        graph, (_, left), (_, right) = self.graph, a, b
        ends = [m * n for m in (left.low, left.high) for n in (right.low, right.high)]
        product = Tensor("product", (self.size,), ValueRange(min(ends), max(ends)))
        dtype = exact_type(product.range)
        factors = [graph.cast(v, exact_type(codes), dtype, "factor") for v, codes in (a, b)]
        value = graph.node("Mul", factors, "product")
        node = Requantize(name=self.layer.name, input="x", output="y", quotient=quotient)
        return requantize(graph, node, value, product, Tensor("result", (self.size,), limits))


def _value(name: str, dtype: Any, shape: list[Any]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)
