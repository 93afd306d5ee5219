# SPDX-License-Identifier: Apache-2.0
"""LabelSelect: index of the largest element (hw/rtl/arg_max.v), of the K largest (top_k.v)."""

from __future__ import annotations

from finn.custom_op.fpgadataflow.hls.labelselect_hls import LabelSelect_hls
from finn.custom_op.fpgadataflow.labelselect import LabelSelect

from qdeploy.fpga.operators.wrapper import VerilogOperator


class ArgMax(VerilogOperator, LabelSelect):  # type: ignore[misc]
    """FINN's cycles per frame are those of both; top_k.v takes one element per cycle (PE = 1)."""

    finn_implementation = LabelSelect_hls

    @property
    def operator(self) -> str:  # type: ignore[override]
        """The module of hw/rtl."""
        return "arg_max" if self.get_nodeattr("K") == 1 else "top_k"

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits of an output word: K indices."""
        return int(self.get_nodeattr("K") * self.get_output_datatype().bitwidth())

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """A word per vector."""
        return (*self.get_nodeattr("numInputVectors"), 1, self.get_nodeattr("K"))

    def get_number_output_values(self) -> int:
        """A word per vector."""
        return 1

    def parameters(self) -> dict[str, int | str]:
        """Parameters of arg_max.v or top_k.v."""
        several = self.get_nodeattr("K") > 1
        return {
            "CLASSES": self.get_nodeattr("Labels"),
            "K" if several else "PE": self.get_nodeattr("K" if several else "PE"),
            "BITS": self.get_input_datatype().bitwidth(),
            "SIGNED": int(self.get_input_datatype().signed()),
            "INDEX_BITS": self.get_output_datatype().bitwidth(),
        }
