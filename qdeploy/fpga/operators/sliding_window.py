# SPDX-License-Identifier: Apache-2.0
"""ConvolutionInputGenerator: frames into windows (hw/rtl/sliding_window.v)."""

from __future__ import annotations

from math import prod

from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator
from finn.custom_op.fpgadataflow.rtl.convolutioninputgenerator_rtl import (
    ConvolutionInputGenerator_rtl,
)

from qdeploy.fpga.operators.wrapper import VerilogOperator


class SlidingWindow(VerilogOperator, ConvolutionInputGenerator):  # type: ignore[misc]
    """One word of a window per cycle; FINN's window-parallel mode does not exist here."""

    operator = "sliding_window"
    finn_implementation = ConvolutionInputGenerator_rtl

    def use_parallel_window_output(self) -> bool:
        """Never: FINN's shapes ask for it."""
        return False

    def get_exp_cycles(self) -> int:
        """Cycles per frame of sliding_window.v: words in or words out, whichever are more."""
        pixels, windows, window = (
            prod(map(int, self.get_nodeattr(name)))
            for name in ("IFMDim", "OFMDim", "ConvKernelDim")
        )
        return max(pixels, windows * window) * self._fold()

    def parameters(self) -> dict[str, int | str]:
        """Parameters of sliding_window.v."""
        height, width = self.get_nodeattr("IFMDim")
        kernel, stride = self.get_nodeattr("ConvKernelDim"), self.get_nodeattr("Stride")
        dilation = self.get_nodeattr("Dilation")
        return {
            "WIDTH": self.get_instream_width(),
            "FOLD": self._fold(),
            "HEIGHT": height,
            "IMAGE_WIDTH": width,
            "KERNEL_HEIGHT": kernel[0],
            "KERNEL_WIDTH": kernel[1],
            "STRIDE_HEIGHT": stride[0],
            "STRIDE_WIDTH": stride[1],
            "DILATION_HEIGHT": dilation[0],
            "DILATION_WIDTH": dilation[1],
            "DEPTHWISE": self.get_nodeattr("depthwise"),
        }

    def _fold(self) -> int:
        return int(self.get_nodeattr("IFMChannels") // self.get_nodeattr("SIMD"))
