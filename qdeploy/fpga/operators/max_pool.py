# SPDX-License-Identifier: Apache-2.0
"""Pool: the maximum over windows that a depthwise window generator makes (hw/rtl/max_pool.v)."""

from __future__ import annotations

from math import prod

from finn.custom_op.fpgadataflow.hls.pool_hls import Pool_hls
from finn.custom_op.fpgadataflow.pool import Pool
from qonnx.core.datatype import DataType

from qdeploy.fpga.operators.wrapper import VerilogOperator


class MaxPool(VerilogOperator, Pool):  # type: ignore[misc]
    """FINN's cycles per frame are those of max_pool.v."""

    operator = "max_pool"
    finn_implementation = Pool_hls

    def parameters(self) -> dict[str, int | str]:
        """Parameters of max_pool.v."""
        kind = self.get_input_datatype()
        return {
            "PE": self.get_nodeattr("PE"),
            "BITS": self.get_input_datatype().bitwidth(),
            # The bits of bipolar elements are ordered like their values.
            "SIGNED": int(kind.signed() and kind != DataType["BIPOLAR"]),
            "KERNEL_WORDS": prod(self.get_nodeattr("KernelSize")),
        }
