# SPDX-License-Identifier: Apache-2.0
"""Pool: maximum or sum over windows that a depthwise window generator makes, and sums of frames."""

from __future__ import annotations

from math import prod
from typing import Any

from finn.custom_op.fpgadataflow.globalaccpool import GlobalAccPool
from finn.custom_op.fpgadataflow.hls.globalaccpool_hls import GlobalAccPool_hls
from finn.custom_op.fpgadataflow.hls.pool_hls import Pool_hls
from finn.custom_op.fpgadataflow.pool import Pool
from qonnx.core.datatype import BaseDataType, DataType

from qdeploy.fpga.operators.wrapper import VerilogOperator


class WindowPool(VerilogOperator, Pool):  # type: ignore[misc]
    """FINN's functions "MaxPool" (hw/rtl/max_pool.v) and "AccPool" (hw/rtl/sum_pool.v).

    FINN's cycles per frame are those of both.
    """

    finn_implementation = Pool_hls

    @property
    def operator(self) -> str:  # type: ignore[override]
        """The module of hw/rtl."""
        return "max_pool" if self.get_nodeattr("Function") == "MaxPool" else "sum_pool"

    def parameters(self) -> dict[str, int | str]:
        """Parameters of max_pool.v or sum_pool.v."""
        kind, pixels = self.get_input_datatype(), prod(self.get_nodeattr("KernelSize"))
        if self.operator == "sum_pool":
            return sum_parameters(self, pixels, 1)
        return {
            "PE": self.get_nodeattr("PE"),
            "BITS": kind.bitwidth(),
            # The bits of bipolar elements are ordered like their values.
            "SIGNED": int(kind.signed() and kind != DataType["BIPOLAR"]),
            "KERNEL_WORDS": pixels,
        }


class FrameSum(VerilogOperator, GlobalAccPool):  # type: ignore[misc]
    """GlobalAccPool (hw/rtl/sum_pool.v)."""

    operator = "sum_pool"
    finn_implementation = GlobalAccPool_hls

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and the type of the sums, which FINN guesses from that of the input."""
        return {**super().get_nodeattr_types(), "outputDataType": ("s", True, "")}

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """The type of the sums."""
        return DataType[self.get_nodeattr("outputDataType")]

    def get_exp_cycles(self) -> int:
        """Cycles per frame of sum_pool.v: input words."""
        return int(prod(map(int, self.get_folded_input_shape()[:-1])))

    def parameters(self) -> dict[str, int | str]:
        """Parameters of sum_pool.v."""
        *_, height, width = self.get_nodeattr("numInputVectors")
        fold = self.get_nodeattr("NumChannels") // self.get_nodeattr("PE")
        return sum_parameters(self, height * width, fold)


def sum_parameters(operator: VerilogOperator, pixels: int, fold: int) -> dict[str, int | str]:
    """Parameters of sum_pool.v for a node of FINN."""
    kind = operator.get_input_datatype()
    return {
        "PE": operator.get_nodeattr("PE"),
        "INPUT_BITS": kind.bitwidth(),
        "INPUT_SIGNED": int(kind.signed()),
        "PIXELS": pixels,
        "FOLD": fold,
        "OUTPUT_BITS": operator.get_output_datatype().bitwidth(),
    }
