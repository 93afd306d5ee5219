# SPDX-License-Identifier: Apache-2.0
"""VVAU: depthwise convolution, thresholds (hw/rtl/depthwise_unit.v)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.hls.vectorvectoractivation_hls import VVAU_hls
from finn.custom_op.fpgadataflow.vectorvectoractivation import VVAU
from qonnx.core.datatype import DataType

from qdeploy.fpga.memory import Memory
from qdeploy.fpga.operators.wrapper import VerilogOperator, fewest_lanes
from qdeploy.fpga.threshold_memory import ThresholdMemory
from qdeploy.integer import Integers

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

_WEIGHT_BITS = {"BIPOLAR": 1, "TERNARY": 2}


class DepthwiseUnit(VerilogOperator, VVAU):  # type: ignore[misc]
    """One pixel of a window per cycle (SIMD = 1), PE channels."""

    operator = "depthwise_unit"
    library = ("parallel_to_serial", "row_output", "depthwise_unit")
    finn_implementation = VVAU_hls

    @property
    def memory_roles(self) -> tuple[str, ...]:  # type: ignore[override]
        """Weights, and thresholds if there are any."""
        return ("weight", "row") if self._quantizes() else ("weight",)

    @property
    def open_ports(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those for thresholds if there are none."""
        return () if self._quantizes() else ("row_enable", "row_address", "row_data")

    def lanes(self) -> int:
        """Channels that leave per cycle: with thresholds as few as keep up with the sums."""
        pe: int = self.get_nodeattr("PE")
        return fewest_lanes(pe, prod(self.get_nodeattr("Kernel"))) if self._quantizes() else pe

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits of an output word: LANES elements."""
        return int(self.lanes() * self.get_output_datatype().bitwidth())

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Words of LANES elements."""
        lanes = self.lanes()
        return (1, *self.get_nodeattr("Dim"), self.get_nodeattr("Channels") // lanes, lanes)

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and `numSteps`, thresholds per channel."""
        return {**super().get_nodeattr_types(), "numSteps": ("i", False, 0)}

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
        y = (windows * weights.T).sum(axis=-2)
        if self._quantizes():
            thresholds = context[node.input[2]].astype(np.int64)
            count = (y[..., np.newaxis] >= thresholds).sum(-1)
            bipolar = self.get_output_datatype() == DataType["BIPOLAR"]
            y = 2 * count - 1 if bipolar else count + self.get_nodeattr("ActVal")
        context[node.output[0]] = y.astype(np.float32)

    def weight_bits(self) -> int:
        """Bits of a stored weight; binary ones are 0 and 1."""
        kind = self.get_nodeattr("weightDataType")
        return int(_WEIGHT_BITS.get(kind, DataType[kind].bitwidth()))

    def parameters(self) -> dict[str, int | str]:
        """Parameters of depthwise_unit.v."""
        kind, output = self.get_input_datatype(), self.get_output_datatype()
        steps: int = self.get_nodeattr("numSteps")
        return {
            "CHANNELS": self.get_nodeattr("Channels"),
            "PE": self.get_nodeattr("PE"),
            "KERNEL_WORDS": prod(self.get_nodeattr("Kernel")),
            "INPUT_BITS": kind.bitwidth(),
            "INPUT_SIGNED": int(kind.signed()),
            "BIPOLAR": int(kind == DataType["BIPOLAR"]),
            "WEIGHT_BITS": self.weight_bits(),
            "SUM_BITS": self.get_accumulator_datatype().bitwidth(),
            "STEPS": steps,
            "LANES": self.lanes(),
            "OUTPUT_BITS": output.bitwidth(),
            # A bipolar output is stored as its count.
            "BASE": 0 if output == DataType["BIPOLAR"] else self.get_nodeattr("ActVal"),
        }

    def memory(self, model: ModelWrapper, role: str) -> Memory | ThresholdMemory:
        """Thresholds on the unsigned sum, or weights.

        Word f · pixels + k, element p of the weights: pixel k of channel f · PE + p.
        """
        channels, pe = self.get_nodeattr("Channels"), self.get_nodeattr("PE")
        if role == "row":
            kind = self.get_accumulator_datatype()
            rows = self._constant(model, 2) - int(kind.min())
            every = np.broadcast_to(rows, (channels, rows.shape[1]))
            return ThresholdMemory(every, self.lanes(), kind.bitwidth())
        weights = self._constant(model, 1)
        if self.weight_bits() == 1:
            weights = (weights + 1) // 2
        folded = weights.reshape(channels // pe, pe, -1).transpose(0, 2, 1)
        return Memory(folded.reshape(-1, pe), self.weight_bits())

    def _quantizes(self) -> bool:
        return not self.get_nodeattr("noActivation")

    def _constant(self, model: ModelWrapper, index: int) -> Integers:
        values: Integers = np.asarray(model.get_initializer(self.onnx_node.input[index]))
        return values.astype(np.int64)
