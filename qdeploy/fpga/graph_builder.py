# SPDX-License-Identifier: Apache-2.0
"""A QONNX graph under construction: tensors channels last, hardware nodes, streams that fork."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.basic import qonnx_make_model

from qdeploy.fpga.bipolar import bipolar_tensors
from qdeploy.fpga.mappable import LARGEST_EXACT_FLOAT
from qdeploy.integer import IntegerNetwork, Node, Tensor, ValueRange

QONNX_OPERATORS = "qonnx.custom_op.general"
RTL_OPERATORS = "finn.custom_op.fpgadataflow.rtl"


def data_type(values: ValueRange) -> str:
    """FINN's name of the smallest integer type for the range."""
    return f"{'INT' if values.signed else 'UINT'}{values.bits}"


def verilog_name(name: str) -> str:
    """A layer name as the stem of a Verilog identifier."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    return stem if stem[:1].isalpha() else f"layer_{stem}"


@dataclass
class Graph:
    """Nodes, shapes [1, H, W, C] or [1, C], FINN's types and constants by tensor name."""

    network: IntegerNetwork
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    copies: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bipolar = bipolar_tensors(self.network)
        for tensor in self.network.tensors.values():
            self.shapes[tensor.name] = _shape(tensor)
            one_bit = tensor.name in bipolar
            self.types[tensor.name] = "BIPOLAR" if one_bit else data_type(tensor.range)

    def insert(
        self, kind: str, name: str, inputs: list[str], outputs: list[str], **attributes: object
    ) -> None:
        """Append a node of ONNX, QONNX or FINN."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def hardware(
        self,
        kind: str,
        layer: str,
        inputs: list[str],
        outputs: list[str],
        suffix: str = "",
        **attributes: object,
    ) -> None:
        """Append an RTL node of `qdeploy.fpga.operators` that belongs to `layer`."""
        self.insert(
            f"{kind}_rtl",
            verilog_name(layer) + suffix,
            inputs,
            outputs,
            domain=RTL_OPERATORS,
            backend="fpgadataflow",
            layer=layer,
            **attributes,
        )

    def constant(self, name: str, values: np.ndarray, type_name: str) -> str:
        """Remember integers of a type, exactly up to 2^53; returns `name`."""
        exact = np.float32 if np.abs(values).max(initial=0) <= LARGEST_EXACT_FLOAT else np.float64
        self.constants[name] = values.astype(exact)
        self.types[name] = type_name
        return name

    def tensor(self, name: str, shape: tuple[int, ...], type_name: str) -> str:
        """Remember a tensor that the network does not have; returns `name`."""
        self.shapes[name], self.types[name] = shape, type_name
        return name

    def forget(self, name: str) -> None:
        """Drop a tensor that is only inside a node."""
        del self.shapes[name], self.types[name]

    def inputs(self, node: Node) -> list[str]:
        """The streams that `node` reads: of a tensor with several readers a copy of its own."""
        return [self.copies[name].pop() if name in self.copies else name for name in node.inputs]

    def fork(self, layer: str, name: str) -> None:
        """Copy tensor `name`, just written by `layer`, for all its readers if there are several."""
        readers = Counter(name for node in self.network.nodes for name in node.inputs)[name]
        if readers < 2:
            return
        shape, type_name = self.shapes[name], self.types[name]
        copies = [self.tensor(f"{name}_copy{i}", shape, type_name) for i in range(readers)]
        self.hardware(
            "DuplicateStreams",
            layer,
            [name],
            copies,
            "_fork",
            NumChannels=shape[-1],
            PE=1,
            NumOutputStreams=readers,
            inputDataType=type_name,
            numInputVectors=shape[:-1],
        )
        self.copies[name] = copies[::-1]

    def model(self) -> ModelWrapper:
        """The finished graph."""
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
        opsets = [
            helper.make_opsetid(domain, version)
            for domain, version in (("", 13), (QONNX_OPERATORS, 1), (RTL_OPERATORS, 1))
        ]
        model = ModelWrapper(qonnx_make_model(graph, opset_imports=opsets))
        for name, value in self.constants.items():
            model.set_initializer(name, value)
        for name, type_name in self.types.items():
            model.set_tensor_datatype(name, DataType[type_name])
        return model


def _shape(tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) == 3:
        channels, height, width = tensor.shape
        return (1, height, width, channels)
    return (1, *tensor.shape)
