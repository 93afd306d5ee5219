# SPDX-License-Identifier: Apache-2.0
"""Speed, memory and growth of lowering, beside FINN's own streamlining of the same files.

Every case is lowered in a process of its own on one core. `--quick` keeps below a minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
IMAGE = (3, 32, 32)
LARGEST = (100, 20_000_000)
TARGET_SECONDS, TARGET_GIGABYTES = 20.0, 2.0
FINN_LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Row:
    """One line of the JSON file (docs: benchmarks)."""

    case: str
    metric: str
    value: float
    unit: str
    against: str = ""


class Network:
    """A CNN under construction: blocks of Conv, BatchNormalization, Relu, Quant."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.weights = 0

    def block(self, x: str, name: str, inputs: int, outputs: int, stride: int) -> str:
        """3x3 convolution with 3-bit weights per channel, then 3-bit activations."""
        y = self._node("Conv", x, self._weights(name, (outputs, inputs, 3, 3)),
                       name=f"/{name}/conv/Conv", pads=[1, 1, 1, 1], strides=[stride, stride])
        statistics = [
            self.random.uniform(0.5, 1.5, outputs) * self.random.choice([-1, 1], outputs, p=[0.1, 0.9]),
            self.random.normal(0, 0.3, outputs),
            self.random.normal(0, 0.3, outputs),
            self.random.uniform(0.5, 1.5, outputs),
        ]
        y = self._node("BatchNormalization", y, *map(self._constant, statistics),
                       name=f"/{name}/bn/BatchNormalization")
        y = self._node("Relu", y, name=f"/{name}/act/Relu")
        return self.quantizer(y, f"/{name}/act/act_quant/Quant")

    def add(self, left: str, right: str, name: str) -> str:
        """Residual sum of two activations of one scale, quantized again."""
        return self.quantizer(
            self._node("Add", left, right, name=f"/{name}/Add"), f"/{name}/act/act_quant/Quant"
        )

    def quantizer(self, x: str, name: str) -> str:
        """Unsigned 3-bit activations, one scale."""
        return self._quant(x, np.float32(0.21), bits=3, signed=0, name=name)

    def classifier(self, x: str, inputs: int) -> str:
        """Max pool to one position, flatten, 10 classes."""
        pooled = self._node("GlobalMaxPool", x)
        return self._node("MatMul", self._node("Flatten", pooled), pooled)

    def _weights(self, name: str, shape: tuple[int, ...]) -> str:
        self.weights += int(np.prod(shape))
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        real = self.random.standard_normal(shape, np.float32) * np.float32(spread)
        scale = np.abs(real).max(axis=tuple(range(1, len(shape))), keepdims=True) / np.float32(3)
        return self._quant(
            self._constant(real), scale, bits=3, narrow=1, name=f"/{name}/conv/weight_quant/Quant"
        )

    def _quant(self, x: str, scale: object, *, bits: int, name: str, signed: int = 1,
               narrow: int = 0) -> str:
        return self._node(
            "Quant", x, self._constant(scale), self._constant(0), self._constant(bits),
            name=name, domain=DOMAIN, signed=signed, narrow=narrow, rounding_mode="ROUND",
        )

    def _constant(self, values: object) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def _node(self, operator: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def save(self, output: str, shape: tuple[int, ...], path: Path) -> None:
        """Write the file."""
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *IMAGE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, *shape])],
            self.initializers,
        )
        imports = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def write_network(path: Path, layers: int, weights: int, residual: bool) -> int:
    """A CNN of `layers` convolutions with about `weights` weights; returns their exact number."""
    width = max(8, round((weights / (9 * (layers - 1))) ** 0.5))
    network = Network(layers)
    x = network.quantizer("x", "/image/Quant")
    x = network.block(x, "block0", IMAGE[0], width, 1)
    size, shortcut = IMAGE[1], x
    for index in range(1, layers):
        stride = 2 if index in (layers // 3, 2 * layers // 3) else 1
        x = network.block(x, f"block{index}", width, width, stride)
        size //= stride
        if stride == 2:
            shortcut = x
        elif residual and index % 2 == 0:
            x = shortcut = network.add(x, shortcut, f"sum{index}")
    network.save(x, (width, size, size), path)
    return network.weights
