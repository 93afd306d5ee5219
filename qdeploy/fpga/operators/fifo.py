# SPDX-License-Identifier: Apache-2.0
"""StreamingFIFO (hw/rtl/fifo.v)."""

from __future__ import annotations

from finn.custom_op.fpgadataflow.rtl.streamingfifo_rtl import StreamingFIFO_rtl
from finn.custom_op.fpgadataflow.streamingfifo import StreamingFIFO

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Fifo(VerilogOperator, StreamingFIFO):  # type: ignore[misc]
    """Never slower than its neighbours: FINN counts no cycles for it."""

    operator = "fifo"
    open_ports = ("count",)
    finn_implementation = StreamingFIFO_rtl

    def parameters(self) -> dict[str, int | str]:
        """Parameters of fifo.v."""
        return {"WIDTH": self.get_instream_width(), "DEPTH": self.get_nodeattr("depth")}
