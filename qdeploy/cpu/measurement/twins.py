# SPDX-License-Identifier: Apache-2.0
"""The same network as ONNX Runtime would run it without qdeploy: in float32, or in int8.

Layers have the same shapes and random weights; quantizers of activations become Relu. Latency does
not depend on the values. LSTM layers are LSTM, in int8 ONNX Runtime's DynamicQuantizeLSTM, which
quantizes inputs and hidden states itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

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
    Threshold,
    Transpose,
    Upsample,
    readers_of,
)

_OPSET, _IR_VERSION = 17, 8
_CONTRIBUTED = "com.microsoft"
_INPUT_SCALE, _SCALE = 1 / 255, 0.05
# Weights that no int8 kernel saturates with, whatever the activations.
_LARGEST = 63


def float_twin(network: IntegerNetwork) -> ModelProto:
    """Conv, Gemm, Relu, MaxPool ... in float32: real input [N, ...] to real output [N, ...]."""
    return _Twin(network, quantized=False).model()


def int8_twin(network: IntegerNetwork) -> ModelProto:
    """The same with QuantizeLinear and DequantizeLinear around every operator.

    Activations are uint8 with one scale, weights int8 with one for each output channel, biases
    int32, from which ONNX Runtime makes QLinearConv, QGemm and the like.
    """
    return _Twin(network, quantized=True).model()


class _Twin:
    def __init__(self, network: IntegerNetwork, *, quantized: bool) -> None:
        self.network, self.quantized = network, quantized
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.rng = np.random.default_rng(0)
        self.readers = readers_of(network.nodes)
        self.zero = self._constant("zero", np.uint8(0)) if quantized else ""

    def model(self) -> ModelProto:
        network = self.network
        of_tokens = any(isinstance(node, Embedding) for node in self.readers[network.input])
        values = {
            network.input: network.input_name
            if of_tokens
            else self._rounded(network.input_name, "input", _INPUT_SCALE)
        }
        for node in network.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.output] = self._node(node, inputs)
        output = network.output_tensor
        last = network.nodes[-1]
        kind = TensorProto.INT64 if isinstance(last, ArgMax) else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            network.name,
            [
                helper.make_tensor_value_info(
                    network.input_name, TensorProto.FLOAT, ["N", *network.input_tensor.shape]
                )
            ],
            [helper.make_tensor_value_info(values[network.output], kind, ["N", *output.shape])],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIBUTED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)

    def _node(self, node: Node, inputs: list[str]) -> str:
        name, reading = node.name, self.readers[node.output]
        if isinstance(node, (Convolution, Linear)):
            x = self.network.tensors[node.input]
            scale = _INPUT_SCALE if x.name == self.network.input else _SCALE
            value = self._matrix(node, inputs[0], scale)
            if len(reading) == 1 and isinstance(reading[0], (Threshold, Requantize)):
                return value
        elif isinstance(node, Embedding):
            return self._embedding(node, inputs[0])
        elif isinstance(node, Lstm):
            value = self._lstm(node, inputs[0])
        elif isinstance(node, ArgMax):
            if node.count > 1:
                count = self._constant(f"{name}/count", np.array([node.count], np.int64))
                return self._add("TopK", [inputs[0], count], name, outputs=2, axis=1)
            return self._add("ArgMax", inputs, name, axis=1)
        else:
            value = self._other(node, inputs)
        # What ONNX Runtime computes in float32 anyway ends there, or goes on in an LSTM.
        if not reading or isinstance(reading[0], Lstm):
            return value
        return self._rounded(value, name, _SCALE)

    def _matrix(self, node: Convolution | Linear, x: str, scale: float) -> str:
        shape = node.weights.shape
        spread = np.prod(shape[1:]) ** -0.5
        weights = (self.rng.standard_normal(shape) * spread).astype(np.float32)
        biases = np.full(shape[0], 0.01, np.float32)
        inputs = [x, *self._parameters(node.name, weights, biases, scale)]
        if isinstance(node, Linear):
            return self._add("Gemm", inputs, node.name, transB=1)
        return self._add(
            "Conv",
            inputs,
            node.name,
            strides=node.strides,
            pads=node.pads,
            dilations=node.dilations,
            group=node.groups,
        )

    def _embedding(self, node: Embedding, tokens: str) -> str:
        table = self.rng.standard_normal(node.table.shape).astype(np.float32)
        indices = self._add("Cast", [tokens], f"{node.name}/indices", to=TensorProto.INT64)
        return self._add(
            "Gather", [self._constant(f"{node.name}/table", table), indices], node.name
        )

    def _lstm(self, node: Lstm, x: str) -> str:
        """[N, T, I] to [N, T, H], with steps in front in between."""
        name, sizes = node.name, (node.layer.input_weights.shape, node.layer.hidden_weights.shape)
        rows, hidden = sizes[1]
        steps = self._add("Transpose", [x], f"{name}/steps", perm=[1, 0, 2])
        bias = self._constant(f"{name}/bias", np.full((1, 2 * rows), 0.01, np.float32))
        weights, units = [], []
        for side, shape in zip("WR", sizes, strict=True):
            real = (self.rng.standard_normal(shape) * shape[1] ** -0.5).astype(np.float32)
            if not self.quantized:
                weights.append(self._constant(f"{name}/{side}", real[None]))
                continue
            scale = np.abs(real).max() / 127
            codes = np.rint(real.T / scale).astype(np.int8)[None]
            weights.append(self._constant(f"{name}/{side}", codes))
            units += [
                self._constant(f"{name}/{side}/scale", np.array([scale], np.float32)),
                self._constant(f"{name}/{side}/zero", np.zeros(1, np.int8)),
            ]
        if self.quantized:
            left_out = [""] * 4  # lengths, initial states, peepholes
            inputs = [steps, *weights, bias, *left_out, *units]
            operator, domain = "DynamicQuantizeLSTM", _CONTRIBUTED
        else:
            inputs, operator, domain = [steps, *weights, bias], "LSTM", ""
        states = self._add(operator, inputs, name, domain=domain, hidden_size=hidden)
        axis = self._constant(f"{name}/direction", np.array([1], np.int64))
        states = self._add("Squeeze", [states, axis], f"{name}/states")
        return self._add("Transpose", [states], f"{name}/samples", perm=[1, 0, 2])

    def _parameters(
        self, name: str, weights: NDArray[np.float32], biases: NDArray[np.float32], scale: float
    ) -> list[str]:
        names = [f"{name}/weight", f"{name}/bias"]
        if not self.quantized:
            return [self._constant(*part) for part in zip(names, (weights, biases), strict=True)]
        axes = tuple(range(1, weights.ndim))
        scales = (np.abs(weights).max(axis=axes) / _LARGEST).astype(np.float32)
        codes = np.rint(weights / scales.reshape(-1, *(1 for _ in axes))).astype(np.int8)
        found = []
        for part, values, units in (
            (names[0], codes, scales),
            (names[1], np.rint(biases / (scales * scale)).astype(np.int32), scales * scale),
        ):
            stored = self._constant(f"{part}/codes", values)
            unit = self._constant(f"{part}/scale", units.astype(np.float32))
            # QGemm wants as many zeros as scales.
            zeros = self._constant(f"{part}/zeros", np.zeros(len(units), values.dtype))
            found.append(self._add("DequantizeLinear", [stored, unit, zeros], part, axis=0))
        return found

    def _other(self, node: Node, inputs: list[str]) -> str:
        name = node.name
        if isinstance(node, (Threshold, Requantize)):
            return self._add("Relu", inputs, name)
        if isinstance(node, MaxPool):
            return self._add("MaxPool", inputs, name, dilations=node.dilations, **_windows(node))
        if isinstance(node, SumPool):
            return self._add("AveragePool", inputs, name, count_include_pad=1, **_windows(node))
        if isinstance(node, Add):
            total = inputs[0]
            for k, value in enumerate(inputs[1:]):
                total = self._add("Add", [total, value], f"{name}/{k}")
            return total
        if isinstance(node, Concat):
            return self._add("Concat", inputs, name, axis=1)
        if isinstance(node, Flatten):
            return self._add("Flatten", inputs, name)
        if isinstance(node, Transpose):
            return self._add("Transpose", inputs, name, perm=[0, *(k + 1 for k in node.order)])
        operator, parts = self._with_sizes(node)
        sizes = [
            self._constant(f"{name}/{k}", np.array(part)) if len(part) else ""
            for k, part in enumerate(parts)
        ]
        return self._add(operator, [*inputs, *sizes], name)

    @staticmethod
    def _with_sizes(node: Node) -> tuple[str, tuple[Any, ...]]:
        """An operator that takes sizes as inputs, and these."""
        if isinstance(node, Pad):
            top, left, bottom, right = node.pads
            return "Pad", ([0, 0, top, left, 0, 0, bottom, right],)
        if isinstance(node, Upsample):
            return "Resize", ([], np.array([1, 1, *node.factors], np.float32))
        if isinstance(node, Slice):
            axes = range(1, len(node.starts) + 1)
            return "Slice", (node.starts, node.stops, list(axes), node.steps)
        assert isinstance(node, Reshape)
        return "Reshape", ([0, *node.shape],)

    def _rounded(self, value: str, name: str, scale: float) -> str:
        """The value through uint8, if this is the int8 network."""
        if not self.quantized:
            return value
        unit = self._constant(f"{name}/scale", np.float32(scale))
        codes = self._add("QuantizeLinear", [value, unit, self.zero], f"{name}/codes")
        return self._add("DequantizeLinear", [codes, unit, self.zero], f"{name}/real")

    def _add(
        self, operator: str, inputs: list[str], name: str, outputs: int = 1, **attributes: Any
    ) -> str:
        """The last output of a new node."""
        names = [f"{name}/out{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name, **attributes))
        return names[-1]

    def _constant(self, name: str, values: Any) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _windows(node: MaxPool | SumPool) -> dict[str, Any]:
    return {"kernel_shape": node.kernel, "strides": node.strides, "pads": node.pads}
