# SPDX-License-Identifier: Apache-2.0
"""Thresholding: MultiThreshold (hw/rtl/threshold.v)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.hls.thresholding_hls import Thresholding_hls
from finn.custom_op.fpgadataflow.thresholding import Thresholding
from qonnx.core.datatype import DataType

from qdeploy.fpga.operators.wrapper import Memory, VerilogOperator
from qdeploy.integer import Integers

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


class Threshold(VerilogOperator, Thresholding):  # type: ignore[misc]
    """FINN's cycles per frame are those of threshold.v; its estimate is the HLS formula."""

    operator = "threshold"
    memory_role = "threshold"
    finn_implementation = Thresholding_hls

    def parameters(self) -> dict[str, int | str]:
        """Parameters of threshold.v."""
        bipolar = self.get_output_datatype() == DataType["BIPOLAR"]
        return {
            "CHANNELS": self.get_nodeattr("NumChannels"),
            "PE": self.get_nodeattr("PE"),
            "INPUT_BITS": self.get_input_datatype(0).bitwidth(),
            "INPUT_SIGNED": int(self.get_input_datatype(0).signed()),
            "STEPS": self.get_nodeattr("numSteps"),
            "OUTPUT_BITS": self.get_output_datatype().bitwidth(),
            # A bipolar output is stored as its count.
            "BASE": 0 if bipolar else self.get_nodeattr("ActVal"),
            "STEP": 1,
        }

    def memory(self, model: ModelWrapper) -> Memory:
        """Thresholds of one bit more than the input: word f, element p · STEPS + t."""
        thresholds: Integers = np.asarray(model.get_initializer(self.onnx_node.input[1])).astype(
            np.int64
        )
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        every = np.broadcast_to(thresholds, (channels, thresholds.shape[1]))
        return Memory(every.reshape(channels // pe, -1), self.get_input_datatype(0).bitwidth() + 1)
