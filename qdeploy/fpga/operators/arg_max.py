# SPDX-License-Identifier: Apache-2.0
"""LabelSelect with K = 1: index of the largest element (hw/rtl/arg_max.v)."""

from __future__ import annotations

from finn.custom_op.fpgadataflow.hls.labelselect_hls import LabelSelect_hls
from finn.custom_op.fpgadataflow.labelselect import LabelSelect

from qdeploy.fpga.operators.wrapper import VerilogOperator


class ArgMax(VerilogOperator, LabelSelect):  # type: ignore[misc]
    """FINN's cycles per frame are those of arg_max.v."""

    operator = "arg_max"
    finn_implementation = LabelSelect_hls

    def parameters(self) -> dict[str, int | str]:
        """Parameters of arg_max.v."""
        return {
            "CLASSES": self.get_nodeattr("Labels"),
            "PE": self.get_nodeattr("PE"),
            "BITS": self.get_input_datatype().bitwidth(),
            "SIGNED": int(self.get_input_datatype().signed()),
            "INDEX_BITS": self.get_outstream_width(),
        }
