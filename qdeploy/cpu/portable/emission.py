# SPDX-License-Identifier: Apache-2.0
"""The integer network as an ONNX model that only needs standard operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

import qdeploy
from qdeploy.cpu.description import DESCRIPTION, DOMAIN, FUNCTION, describe
from qdeploy.cpu.parts import Part, fits_32_bits, split
from qdeploy.cpu.portable.branches import add, concat
from qdeploy.cpu.portable.convolution import convolution
from qdeploy.cpu.portable.exactness import (
    FLOAT32_LIMIT,
    exact_type,
    partial_sum_bounds,
    weights_fit_float32,
)
from qdeploy.cpu.portable.expansion import expand
from qdeploy.cpu.portable.graph import IR_VERSION, OPSET, PRODUCER, Graph, unique
from qdeploy.cpu.portable.lstm import lstm
from qdeploy.cpu.portable.pooling import max_pool, sum_pool
from qdeploy.cpu.portable.requantization import requantize
from qdeploy.cpu.portable.shapes import flatten, pad, reshape, slice_, transpose, upsample
from qdeploy.cpu.portable.thresholds import input_quantizer, threshold
from qdeploy.errors import InternalError
from qdeploy.integer import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    Flatten,
    IntegerNetwork,
    Linear,
    Lstm,
    MaxPool,
    Node,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
)

_OPSETS = [helper.make_opsetid("", OPSET)]


def to_onnx(network: IntegerNetwork) -> ModelProto:
    """The model: real input [N, ...], real outputs and integer outputs "<output>_integer" [N, ...].

    Its graph calls a function of `DOMAIN` for each part of the network, which ONNX Runtime writes
    out when it loads the file, unless a custom operator of that name takes its place. Reals are
    float32, integers int64, those between parts int32 where they fit. Within a function, float32
    and float64 tensors hold the integers of the network exactly. Nodes carry the names of the
    network's layers.

    Raises:
        UserError: if a layer's partial sums do not fit float64.
        InternalError: for a node of unknown type.
    """
    integer_name = f"{network.output_name}_integer"
    model = _Model(network, split(network), integer_name)
    batch_input = ["N", *network.input_tensor.shape]
    batch_output = ["N", *network.output_tensor.shape]
    made = helper.make_model(
        helper.make_graph(
            model.nodes,
            network.name,
            [helper.make_tensor_value_info(network.input_name, TensorProto.FLOAT, batch_input)],
            [
                helper.make_tensor_value_info(network.output_name, TensorProto.FLOAT, batch_output),
                helper.make_tensor_value_info(integer_name, TensorProto.INT64, batch_output),
            ],
            model.initializers,
        ),
        functions=model.functions,
        opset_imports=[*_OPSETS, helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=qdeploy.__version__,
    )
    helper.set_model_props(
        made,
        {"producer": PRODUCER, "version": qdeploy.__version__, "network": network.name},
    )
    return made


class _Model:
    """What a file is made of.

    Attributes:
        nodes: calls, and the function behind the last of them.
        functions: their bodies.
        initializers: of all.
    """

    def __init__(self, network: IntegerNetwork, parts: Sequence[Part], integer_name: str) -> None:
        self.nodes: list[NodeProto] = []
        self.functions: list[FunctionProto] = []
        self.initializers: list[TensorProto] = []
        self._network, self._integer_name = network, integer_name
        self._taken = {network.input_name, network.output_name, integer_name}
        # Real outputs before a function behind them are float64, to round once.
        self._reals = network.output_name
        if network.output_function:
            self._reals = unique(f"{network.output_name}_real", self._taken)
        self._names = {
            name: unique(name, self._taken)
            for part in parts
            for name in part.outputs
            if name != network.output
        }
        for index, part in enumerate(parts):
            self._add(part, FUNCTION if len(parts) == 1 else f"{FUNCTION}_{index + 1}")
        if network.output_function:
            operator = network.output_function.capitalize()
            axis = {"axis": 1} if operator == "Softmax" else {}
            wide = unique(f"{network.output_name}_wide", self._taken)
            self.nodes += [
                helper.make_node(operator, [self._reals], [wide], **axis),
                helper.make_node("Cast", [wide], [network.output_name], to=TensorProto.FLOAT),
            ]

    def _add(self, part: Part, function: str) -> None:
        network, graph = self._network, Graph(self._taken)
        if part.begins:
            inputs = [network.input_name]
            codes = input_quantizer(
                graph, network.quantizer, network.input_name, network.input_tensor
            )
            values = {network.input: codes}
        else:
            inputs = [self._names[name] for name in part.inputs]
            values = {name: self._received(graph, name) for name in part.inputs}
        for node in part.nodes:
            values[node.output] = _emit(graph, node, values, network)
        outputs = []
        for name in part.outputs:
            if name == network.output:
                self._give_outputs(graph, values[name])
                outputs += [self._reals, self._integer_name]
            else:
                target = helper.np_dtype_to_tensor_dtype(self._type(name))
                graph.output("Cast", [values[name]], self._names[name], to=target)
                outputs.append(self._names[name])
        stored = {
            tensor.name: len(inputs) + place for place, tensor in enumerate(graph.initializers)
        }
        places = {array: stored[name] for array, name in graph.stored.items()}
        inputs += stored
        self._taken.update(stored)
        self.initializers += graph.initializers
        self.functions.append(
            helper.make_function(
                DOMAIN, function, inputs, outputs, graph.nodes, _OPSETS, [DESCRIPTION]
            )
        )
        content = {DESCRIPTION: describe(part, places)}
        self.nodes.append(helper.make_node(function, inputs, outputs, domain=DOMAIN, **content))

    def _type(self, name: str) -> np.dtype[Any]:
        """In which parts exchange the tensor `name`."""
        values = self._network.tensors[name].range
        return np.dtype(np.int32 if fits_32_bits(values.low, values.high) else np.int64)

    def _received(self, graph: Graph, name: str) -> str:
        """The value of a tensor that another part made."""
        exact = exact_type(self._network.tensors[name].range)
        return graph.cast(self._names[name], self._type(name), exact, f"{name}/input")

    def _give_outputs(self, graph: Graph, value: str) -> None:
        y = self._network.output_tensor
        dtype = exact_type(y.range)
        scale, offset = (part.astype(np.float64) for part in y.affine())
        # In float64 as in IntegerNetwork.real_output, to round once.
        real = graph.cast(value, dtype, np.float64, "real/exact")
        real = graph.node("Mul", [real, _spread(graph, "real/scale", scale, y)], "real/scaled")
        inputs = [real, _spread(graph, "real/offset", offset, y)]
        if self._network.output_function:
            graph.output("Add", inputs, self._reals)
        else:
            real = graph.node("Add", inputs, "real/shifted")
            graph.output("Cast", [real], self._reals, to=TensorProto.FLOAT)
        graph.output("Cast", [value], self._integer_name, to=TensorProto.INT64)


def _emit(graph: Graph, node: Node, values: dict[str, str], network: IntegerNetwork) -> str:
    """The value of the node's output; `values` holds those of the tensors before it."""
    if type(node) in _JOINS:
        return _JOINS[type(node)](graph, node, values, network)
    if type(node) not in _OPERATORS:
        raise InternalError(f"{node.name}: no ONNX form for {node.kind}")
    x, y = network.tensors[node.input], network.tensors[node.output]
    return _OPERATORS[type(node)](graph, node, values[node.input], x, y)


def _spread(graph: Graph, name: str, values: NDArray[np.float64], y: Tensor) -> str:
    """A constant that broadcasts to `y`; of one with a value per element only a block is stored."""
    if y.meaning.block is None:
        return graph.constant(name, values)
    block = values[tuple(map(slice, y.meaning.block.shape))][np.newaxis]
    counts = [1, *(n // k for n, k in zip(y.shape, y.meaning.block.shape, strict=True))]
    repeats = graph.constant(f"{name}/counts", np.array(counts, np.int64))
    return graph.node("Tile", [graph.constant(f"{name}/block", block), repeats], name)


def _linear(graph: Graph, node: Linear, value: str, x: Tensor, y: Tensor) -> str:
    narrow = partial_sum_bounds(node, x.range).sum(axis=1).max() < FLOAT32_LIMIT
    dtype = np.float32 if narrow and weights_fit_float32(node.weights) else np.float64
    value = graph.cast(value, exact_type(x.range), dtype, f"{node.name}/input")
    weights = expand(graph, node.name, node.weights, dtype)
    value = graph.node("Gemm", [value, weights], node.name, transB=1)
    return graph.cast(value, dtype, exact_type(y.range), f"{node.name}/output")


def _embedding(graph: Graph, node: Embedding, value: str, x: Tensor, y: Tensor) -> str:
    indices = graph.cast(value, exact_type(x.range), np.int64, f"{node.name}/indices")
    table = graph.constant(f"{node.name}/table", node.table, exact_type(y.range), of=node.table)
    return graph.node("Gather", [table, indices], node.name)


def _arg_max(graph: Graph, node: ArgMax, value: str, x: Tensor, y: Tensor) -> str:
    if node.count == 1:
        index = graph.node("ArgMax", [value], node.name, axis=1, keepdims=1)
    else:
        index = graph.top_indices(value, node.count, node.name)
    return graph.cast(index, np.int64, exact_type(y.range), f"{node.name}/output")


_OPERATORS: dict[type[Node], Callable[..., str]] = {
    Convolution: convolution,
    Linear: _linear,
    Threshold: threshold,
    Requantize: requantize,
    MaxPool: max_pool,
    SumPool: sum_pool,
    Pad: pad,
    Upsample: upsample,
    Slice: slice_,
    Reshape: reshape,
    Transpose: transpose,
    Flatten: flatten,
    Embedding: _embedding,
    Lstm: lstm,
    ArgMax: _arg_max,
}
_JOINS: dict[type[Node], Callable[..., str]] = {Add: add, Concat: concat}
