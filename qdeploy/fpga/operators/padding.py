# SPDX-License-Identifier: Apache-2.0
"""FMPadding: a border of zeros around every frame (hw/rtl/padding.v)."""

from __future__ import annotations

from finn.custom_op.fpgadataflow.fmpadding import FMPadding
from finn.custom_op.fpgadataflow.rtl.fmpadding_rtl import FMPadding_rtl

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Padding(VerilogOperator, FMPadding):  # type: ignore[misc]
    """FINN's cycles per frame are those of padding.v."""

    operator = "padding"
    finn_implementation = FMPadding_rtl

    def parameters(self) -> dict[str, int | str]:
        """Parameters of padding.v."""
        height, width = self.get_nodeattr("ImgDim")
        top, left, bottom, right = self.get_nodeattr("Padding")
        return {
            "WIDTH": self.get_instream_width(),
            "FOLD": self.get_nodeattr("NumChannels") // self.get_nodeattr("SIMD"),
            "HEIGHT": height,
            "IMAGE_WIDTH": width,
            "TOP": top,
            "LEFT": left,
            "BOTTOM": bottom,
            "RIGHT": right,
            "PAD_WORD": 0,
        }
