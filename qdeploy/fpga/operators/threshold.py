# SPDX-License-Identifier: Apache-2.0
"""Thresholding: MultiThreshold (hw/rtl/threshold.v)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.hls.thresholding_hls import Thresholding_hls
from finn.custom_op.fpgadataflow.thresholding import Thresholding
from qonnx.core.datatype import DataType

from qdeploy.fpga.operators.wrapper import VerilogOperator
from qdeploy.fpga.threshold_memory import ThresholdMemory
from qdeploy.integer import Integers

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


class Threshold(VerilogOperator, Thresholding):  # type: ignore[misc]
    """FINN's cycles per frame are those of threshold.v; its estimate is the HLS formula."""

    operator = "threshold"
    library = ("row_output", "threshold")
    memory_roles = ("row",)
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
        }

    def memory(self, model: ModelWrapper, role: str) -> ThresholdMemory:
        """Thresholds on the input as an unsigned number."""
        thresholds: Integers = np.asarray(model.get_initializer(self.onnx_node.input[1])).astype(
            np.int64
        )
        kind = self.get_input_datatype(0)
        rows = np.broadcast_to(thresholds, (self.get_nodeattr("NumChannels"), thresholds.shape[1]))
        return ThresholdMemory(rows - int(kind.min()), self.get_nodeattr("PE"), kind.bitwidth() + 1)
