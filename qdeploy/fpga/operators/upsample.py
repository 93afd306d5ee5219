# SPDX-License-Identifier: Apache-2.0
"""UpsampleNearestNeighbour: pixels and rows repeated (hw/rtl/upsample.v)."""

from __future__ import annotations

from typing import Any

from finn.custom_op.fpgadataflow.hls.upsampler_hls import UpsampleNearestNeighbour_hls
from finn.custom_op.fpgadataflow.upsampler import UpsampleNearestNeighbour

from qdeploy.fpga.operators.wrapper import VerilogOperator


class Upsample(VerilogOperator, UpsampleNearestNeighbour):  # type: ignore[misc]
    """FINN's cycles per frame are those of upsample.v; the sizes are whole multiples."""

    operator = "upsample"
    finn_implementation = UpsampleNearestNeighbour_hls

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Repetition, without an ONNX runtime."""
        rows, columns = self.factors()
        x = context[self.onnx_node.input[0]]
        context[self.onnx_node.output[0]] = x.repeat(rows, axis=1).repeat(columns, axis=2)

    def factors(self) -> tuple[int, int]:
        """How often rows and pixels are repeated."""
        rows, columns = (
            self.get_nodeattr(f"{axis}O") // self.get_nodeattr(f"{axis}I") for axis in "HW"
        )
        return rows, columns

    def parameters(self) -> dict[str, int | str]:
        """Parameters of upsample.v."""
        rows, columns = self.factors()
        return {
            "WIDTH": self.get_instream_width(),
            "FOLD": self.get_nodeattr("NumChannels") // self.get_nodeattr("SIMD"),
            "IMAGE_WIDTH": self.get_nodeattr("WI"),
            "ROWS": rows,
            "COLUMNS": columns,
        }
