# SPDX-License-Identifier: Apache-2.0
"""StreamingDataWidthConverter, one width a multiple of the other (hw/rtl/width_converter.v)."""

from __future__ import annotations

from math import prod

from finn.custom_op.fpgadataflow.rtl.streamingdatawidthconverter_rtl import (
    StreamingDataWidthConverter_rtl,
)
from finn.custom_op.fpgadataflow.streamingdatawidthconverter import StreamingDataWidthConverter

from qdeploy.fpga.operators.wrapper import VerilogOperator


class WidthConverter(VerilogOperator, StreamingDataWidthConverter):  # type: ignore[misc]
    """One word of the narrower stream per cycle."""

    operator = "width_converter"
    finn_implementation = StreamingDataWidthConverter_rtl

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the words of the narrower stream."""
        shapes = self.get_folded_input_shape(), self.get_folded_output_shape()
        return max(prod(map(int, shape[:-1])) for shape in shapes)

    def parameters(self) -> dict[str, int | str]:
        """Parameters of width_converter.v."""
        return {"IN_WIDTH": self.get_instream_width(), "OUT_WIDTH": self.get_outstream_width()}
