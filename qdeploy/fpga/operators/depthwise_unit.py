# SPDX-License-Identifier: Apache-2.0
"""VVAU: depthwise convolution (hw/rtl/depthwise_unit.v)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.hls.vectorvectoractivation_hls import VVAU_hls
from finn.custom_op.fpgadataflow.vectorvectoractivation import VVAU
from qonnx.core.datatype import DataType

from qdeploy.fpga.operators.wrapper import Memory, VerilogOperator
from qdeploy.integer import Integers

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

_WEIGHT_BITS = {"BIPOLAR": 1, "TERNARY": 2}


class DepthwiseUnit(VerilogOperator, VVAU):  # type: ignore[misc]
    """No activation, one pixel of a window per cycle (SIMD = 1), PE channels."""

    operator = "depthwise_unit"
    memory_role = "weight"
    finn_implementation = VVAU_hls

    def get_exp_cycles(self) -> int:
        """Cycles per frame: input words."""
        return int(prod(map(int, self.get_folded_input_shape()[:-1])))

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Exact integers; windows as the window generator's Python execution orders them."""
        node = self.onnx_node
        channels = self.get_nodeattr("Channels")
        weights = context[node.input[1]].astype(np.int64).reshape(channels, -1)
        x = context[node.input[0]].astype(np.int64)
        windows = x.reshape(*x.shape[:-1], weights.shape[1], channels)
        context[node.output[0]] = (windows * weights.T).sum(axis=-2).astype(np.float32)

    def weight_bits(self) -> int:
        """Bits of a stored weight; binary ones are 0 and 1."""
        kind = self.get_nodeattr("weightDataType")
        return int(_WEIGHT_BITS.get(kind, DataType[kind].bitwidth()))

    def parameters(self) -> dict[str, int | str]:
        """Parameters of depthwise_unit.v."""
        kind = self.get_input_datatype()
        return {
            "CHANNELS": self.get_nodeattr("Channels"),
            "PE": self.get_nodeattr("PE"),
            "KERNEL_WORDS": prod(self.get_nodeattr("Kernel")),
            "INPUT_BITS": kind.bitwidth(),
            "INPUT_SIGNED": int(kind.signed()),
            "BIPOLAR": int(kind == DataType["BIPOLAR"]),
            "WEIGHT_BITS": self.weight_bits(),
            "OUTPUT_BITS": self.get_output_datatype().bitwidth(),
        }

    def memory(self, model: ModelWrapper) -> Memory:
        """Word f · pixels + k, element p: pixel k of channel f · PE + p."""
        channels, pe = self.get_nodeattr("Channels"), self.get_nodeattr("PE")
        weights: Integers = np.asarray(model.get_initializer(self.onnx_node.input[1])).astype(
            np.int64
        )
        if self.weight_bits() == 1:
            weights = (weights + 1) // 2
        folded = weights.reshape(channels // pe, pe, -1).transpose(0, 2, 1)
        return Memory(folded.reshape(-1, pe), self.weight_bits())
