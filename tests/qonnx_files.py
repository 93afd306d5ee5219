# SPDX-License-Identifier: Apache-2.0
"""Write small QONNX files node by node, and execute them with the public qonnx executor."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
QUANTIZERS = ("Quant", "BipolarQuant", "Trunc", "MultiThreshold")


class QonnxFile:
    """A graph under construction; every method returns the name of its output."""

    def __init__(self, input_shape: Sequence[int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.input_shape = list(input_shape)

    def constant(self, values: ArrayLike, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        domain = DOMAIN if operator in QUANTIZERS else ""
        self.nodes.append(
            helper.make_node(
                operator,
                list(inputs),
                [output],
                name=name or f"{operator}_{len(self.nodes)}",
                domain=domain,
                **attributes,
            )
        )
        return output

    def quant(
        self,
        x: str,
        scale: ArrayLike,
        bits: int,
        *,
        signed: int = 1,
        narrow: int = 0,
        zero_point: float = 0,
        rounding: str = "ROUND",
        name: str = "",
    ) -> str:
        return self.node(
            "Quant",
            x,
            self.constant(scale),
            self.constant(zero_point),
            self.constant(float(bits)),
            signed=signed,
            narrow=narrow,
            rounding_mode=rounding,
            name=name,
        )

    def bipolar(self, x: str, scale: ArrayLike) -> str:
        return self.node("BipolarQuant", x, self.constant(scale))

    def qcdq(
        self,
        x: str,
        scale: ArrayLike,
        *,
        zero_point: ArrayLike = 0,
        dtype: Any = np.int8,
        limits: tuple[int, int] | None = None,
        axis: int | None = None,
        between: Callable[[str], str] = lambda codes: codes,
    ) -> str:
        """QuantizeLinear, a Clip to `limits`, nodes `between` that move codes, DequantizeLinear."""
        zeros = np.broadcast_to(zero_point, np.shape(scale))
        parameters = self.constant(scale), self.constant(zeros, dtype)
        given = {} if axis is None else {"axis": axis}
        codes = self.node("QuantizeLinear", x, *parameters, **given)
        if limits is not None:
            codes = self.node("Clip", codes, *(self.constant(limit, dtype) for limit in limits))
        return self.node("DequantizeLinear", between(codes), *parameters, **given)

    def dequantized(
        self,
        codes: ArrayLike,
        scale: ArrayLike,
        *,
        dtype: Any = np.int8,
        zero_point: ArrayLike = 0,
        axis: int = 0,
    ) -> str:
        """Integers of the file behind DequantizeLinear."""
        zeros = np.broadcast_to(zero_point, np.shape(scale))
        parameters = self.constant(scale), self.constant(zeros, dtype)
        return self.node("DequantizeLinear", self.constant(codes, dtype), *parameters, axis=axis)

    def model(self, output: str, rank: int = 2) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.input_shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)],
            self.initializers,
        )
        imports = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=imports)
        model.ir_version = 8
        return model

    def save(self, output: str, path: Path, rank: int = 2) -> Path:
        onnx.save(self.model(output, rank), path)
        return path


def execute(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The public executor on samples [N, ...], one by one (files have batch size 1)."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapper = ModelWrapper(str(path)).transform(InferShapes())
    name, output = wrapper.graph.input[0].name, wrapper.graph.output[0].name
    rows = [execute_onnx(wrapper, {name: sample[np.newaxis]})[output] for sample in x]
    return np.concatenate(rows)
