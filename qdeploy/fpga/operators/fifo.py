# SPDX-License-Identifier: Apache-2.0
"""StreamingFIFO (hw/rtl/fifo.v)."""

from __future__ import annotations

from math import prod

from finn.custom_op.fpgadataflow.rtl.streamingfifo_rtl import StreamingFIFO_rtl
from finn.custom_op.fpgadataflow.streamingfifo import StreamingFIFO

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Fifo(VerilogOperator, StreamingFIFO):  # type: ignore[misc]
    """One word per cycle."""

    operator = "fifo"
    open_ports = ("count",)
    finn_implementation = StreamingFIFO_rtl

    def get_exp_cycles(self) -> int:
        """Cycles per frame: its words."""
        return prod(map(int, self.get_folded_input_shape()[:-1]))

    def parameters(self) -> dict[str, int | str]:
        """Parameters of fifo.v."""
        return {"WIDTH": self.get_instream_width(), "DEPTH": self.get_nodeattr("depth")}
