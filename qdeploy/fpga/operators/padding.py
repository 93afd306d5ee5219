# SPDX-License-Identifier: Apache-2.0
"""FMPadding: a border of one code around every frame (hw/rtl/padding.v)."""

from __future__ import annotations

from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.fmpadding import FMPadding
from finn.custom_op.fpgadataflow.rtl.fmpadding_rtl import FMPadding_rtl
from qonnx.core.datatype import BaseDataType, DataType

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Padding(VerilogOperator, FMPadding):  # type: ignore[misc]
    """FINN's cycles per frame are those of padding.v."""

    operator = "padding"
    finn_implementation = FMPadding_rtl

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and the code of the border."""
        return {**super().get_nodeattr_types(), "pad_code": ("i", False, 0)}

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """Any type; FINN's own operator needs one with zero."""
        return DataType[self.get_nodeattr("inputDataType")]

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Python execution with any code."""
        top, left, bottom, right = self.get_nodeattr("Padding")
        border = ((0, 0), (top, bottom), (left, right), (0, 0))
        x = context[self.onnx_node.input[0]]
        code = self.get_nodeattr("pad_code")
        context[self.onnx_node.output[0]] = np.pad(x, border, constant_values=code)

    def pad_word(self) -> int:
        """The bits of a word of the border."""
        kind, code = self.get_input_datatype(), int(self.get_nodeattr("pad_code"))
        bits = kind.bitwidth()
        element = int(code > 0) if kind == DataType["BIPOLAR"] else code % (1 << bits)
        return sum(element << (bits * i) for i in range(self.get_nodeattr("SIMD")))

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
            "PAD_WORD": f"{self.get_instream_width()}'h{self.pad_word():x}",
        }
