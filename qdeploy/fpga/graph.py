# SPDX-License-Identifier: Apache-2.0
"""The integer network as a QONNX graph in FINN's streamlined form, channels last.

A convolution is Im2Col and MatMul (columns in the order kernel row, kernel column, channel), an
activation is MultiThreshold, and every tensor is float32 holding integers of an annotated type.
Tensors keep their names; the batch axis has length 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.basic import qonnx_make_model

from qdeploy.fpga.bipolar import bipolar_tensors
from qdeploy.fpga.scales import ScaledColumns
from qdeploy.integer import (
    ArgMax,
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    ValueRange,
)
from qdeploy.integer.weights import signed_bits

QONNX_OPERATORS = "qonnx.custom_op.general"


def streamlined_graph(
    network: IntegerNetwork, columns: Mapping[str, ScaledColumns]
) -> ModelWrapper:
    """The graph of a network without obstacles whose thresholds have unit steps.

    Args:
        network: the network.
        columns: the weights of its layers, by name.
    """
    graph = _Graph(network, columns)
    for node in network.nodes:
        graph.add(node)
    return graph.model()


def channels_last(values: Integers) -> Integers:
    """[N, C, H, W] to [N, H, W, C]; other shapes stay."""
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def flattened_order(shape: tuple[int, ...]) -> Integers:
    """Where the network (order c, h, w) has each element of a [C, H, W] that hardware flattens.

    Hardware order is h, w, c.
    """
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(1, 2, 0).ravel()


def data_type(values: ValueRange) -> str:
    """FINN's name of the smallest integer type for the range."""
    return f"{'INT' if values.signed else 'UINT'}{values.bits}"


def accumulator_type(values: ValueRange) -> str:
    """FINN's name of the smallest signed type: accumulators are two's complement."""
    return f"INT{signed_bits(values.low, values.high)}"


@dataclass
class _Graph:
    network: IntegerNetwork
    columns: Mapping[str, ScaledColumns]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bipolar = bipolar_tensors(self.network)
        for tensor in self.network.tensors.values():
            self.shapes[tensor.name] = _shape(tensor)
            one_bit = tensor.name in bipolar
            self.types[tensor.name] = "BIPOLAR" if one_bit else data_type(tensor.range)

    def add(self, node: Node) -> None:
        if isinstance(node, (Convolution, Linear)):
            self._matrix(node)
        elif isinstance(node, Threshold):
            self._threshold(node)
        elif isinstance(node, MaxPool):
            self._operator(
                "MaxPoolNHWC",
                node,
                domain=QONNX_OPERATORS,
                kernel_shape=node.kernel,
                strides=node.strides,
                pads=(0, 0, 0, 0),
            )
        elif isinstance(node, Flatten):
            self._operator("Flatten", node, axis=1)
        else:
            assert isinstance(node, ArgMax)
            self._arg_max(node)

    def model(self) -> ModelWrapper:
        network = self.network
        info = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in self.shapes.items()
        }
        inner = info.keys() - {network.input, network.output} - self.constants.keys()
        graph = helper.make_graph(
            self.nodes,
            network.name,
            [info[network.input]],
            [info[network.output]],
            value_info=[info[name] for name in sorted(inner)],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX_OPERATORS, 1)]
        model = ModelWrapper(qonnx_make_model(graph, opset_imports=opsets))
        for name, value in self.constants.items():
            model.set_initializer(name, value)
        for name, type_name in self.types.items():
            model.set_tensor_datatype(name, DataType[type_name])
        return model

    def _operator(self, kind: str, node: Node, *constants: str, **attributes: object) -> None:
        self._insert(kind, node.name, [node.input, *constants], [node.output], **attributes)

    def _insert(
        self, kind: str, name: str, inputs: list[str], outputs: list[str], **attributes: object
    ) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def _constant(self, name: str, values: np.ndarray, type_name: str) -> str:
        self.constants[name] = values.astype(np.float32)
        self.types[name] = type_name
        return name

    def _matrix(self, node: Convolution | Linear) -> None:
        x, y = self.network.tensors[node.input], self.network.tensors[node.output]
        columns = node.input
        if isinstance(node, Convolution) and not _pointwise(node):
            columns = self._windows(node, x, y)
        matrix = expanded(self.columns[node.name])
        self.types[node.output] = accumulator_type(y.range)
        weights = self._constant(f"{node.name}_weights", matrix.T, weight_type(matrix))
        self._insert("MatMul", node.name, [columns, weights], [node.output])

    def _windows(self, node: Convolution, x: Tensor, y: Tensor) -> str:
        output = f"{node.output}_windows"
        kernel = node.weights.shape[2:]
        top, left, bottom, right = node.pads
        frame = (x.shape[1] + top + bottom, x.shape[2] + left + right)
        self.shapes[output] = (1, *y.shape[1:], x.channels * kernel[0] * kernel[1])
        self.types[output] = self.types[node.input]
        self._insert(
            "Im2Col",
            f"Im2Col_{node.name}",
            [node.input],
            [output],
            domain=QONNX_OPERATORS,
            # FINN refuses a stride beyond the frame; there is only one window then anyway.
            stride=[min(pair) for pair in zip(node.strides, frame, strict=True)],
            kernel_size=kernel,
            pad_amount=node.pads,
            pad_value=0,
            dilations=node.dilations,
            input_shape=str(self.shapes[node.input]),
        )
        return output

    def _threshold(self, node: Threshold) -> None:
        x = self.network.tensors[node.input]
        # One beyond the range means "never"; the type must hold it, or it would become "always".
        clipped = np.clip(node.thresholds, x.range.low, x.range.high + 1)
        limits = ValueRange(x.range.low, x.range.high + 1)
        bipolar = self.types[node.output] == "BIPOLAR"
        signed = self.types[node.input].startswith("INT")
        type_name = accumulator_type(limits) if signed else data_type(limits)
        self._operator(
            "MultiThreshold",
            node,
            self._constant(f"{node.name}_thresholds", clipped, type_name),
            domain=QONNX_OPERATORS,
            out_dtype=self.types[node.output],
            out_scale=2.0 if bipolar else 1.0,
            out_bias=float(node.base[0]),
            data_layout="NHWC" if len(x.shape) == 3 else "NC",
        )

    def _arg_max(self, node: ArgMax) -> None:
        one, largest = f"{node.name}_k", f"{node.name}_values"
        self.constants[one] = np.ones(1, np.int64)
        self.shapes[largest] = (1, 1)
        self.types[largest] = self.types[node.input]
        self._insert(
            "TopK", node.name, [node.input, one], [largest, node.output], axis=-1, largest=1
        )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) == 3:
        channels, height, width = tensor.shape
        return (1, height, width, channels)
    return (1, *tensor.shape)


def _pointwise(node: Convolution) -> bool:
    """A 1x1 convolution sees single pixels; no windows are needed."""
    return node.weights.shape[2:] == (1, 1) and node.strides == (1, 1) and not any(node.pads)


def expanded(columns: ScaledColumns) -> Integers:
    """The integer weights [MH, MW] that codes and multipliers stand for."""
    if columns.multipliers is None:
        single: Integers = columns.codes[0]
        return single
    size = columns.codes.shape[2] // columns.multipliers.shape[2]
    weights: Integers = (columns.codes * columns.multipliers.repeat(size, axis=2)).sum(axis=0)
    return weights


def weight_type(weights: Integers) -> str:
    """FINN's name of the smallest type for weights."""
    if (np.abs(weights) == 1).all():
        return "BIPOLAR"
    if (np.abs(weights) <= 1).all():
        return "TERNARY"
    return f"INT{signed_bits(int(weights.min()), int(weights.max()))}"
