# SPDX-License-Identifier: Apache-2.0
"""ConvolutionInputGenerator: frames into windows (hw/rtl/sliding_window.v)."""

from __future__ import annotations

from math import prod
from typing import Any

from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator
from finn.custom_op.fpgadataflow.rtl.convolutioninputgenerator_rtl import (
    ConvolutionInputGenerator_rtl,
)

from qdeploy.fpga.operators.wrapper import VerilogOperator


class SlidingWindow(VerilogOperator, ConvolutionInputGenerator):  # type: ignore[misc]
    """One word of a window per cycle; FINN's window-parallel mode does not exist here.

    With the attribute `whole_rows` a word is a whole row of the kernel.
    """

    operator = "sliding_window"
    finn_implementation = ConvolutionInputGenerator_rtl

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and `whole_rows`, which needs SIMD = IFMChannels."""
        return {**super().get_nodeattr_types(), "whole_rows": ("i", False, 0, {0, 1})}

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits of an output word."""
        return int(self.get_instream_width() * self._pixels())

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Words of SIMD elements, or of a row of the kernel."""
        *outer, words, elements = super().get_folded_output_shape(ind)
        return (*outer, words // self._pixels(), elements * self._pixels())

    def use_parallel_window_output(self) -> bool:
        """Never: FINN's shapes ask for it."""
        return False

    def get_exp_cycles(self) -> int:
        """Cycles per frame of sliding_window.v: words in or words out, whichever are more."""
        pixels, windows, window = (
            prod(map(int, self.get_nodeattr(name)))
            for name in ("IFMDim", "OFMDim", "ConvKernelDim")
        )
        return max(pixels, windows * window // self._pixels()) * self._fold()

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
            "WHOLE_ROWS": self.get_nodeattr("whole_rows"),
        }

    def _pixels(self) -> int:
        """Pixels of an output word."""
        return int(self.get_nodeattr("ConvKernelDim")[1] if self.get_nodeattr("whole_rows") else 1)

    def _fold(self) -> int:
        return int(self.get_nodeattr("IFMChannels") // self.get_nodeattr("SIMD"))
