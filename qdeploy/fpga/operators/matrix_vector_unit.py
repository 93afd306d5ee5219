# SPDX-License-Identifier: Apache-2.0
"""MVAU: matrix times vectors, with scales inside the sum (hw/rtl/matrix_vector_unit.v)."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.hls.matrixvectoractivation_hls import MVAU_hls
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU
from qonnx.core.datatype import DataType

from qdeploy.fpga.operators.wrapper import Memory, VerilogOperator
from qdeploy.fpga.scales import codes
from qdeploy.integer import Integers

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


class MatrixVectorUnit(VerilogOperator, MVAU):  # type: ignore[misc]
    """Execution and `weightDataType` see expanded integer weights; the hardware keeps codes.

    FINN's estimate is its HLS formula for the expanded weights: FINN knows no other scales.
    """

    operator = "matrix_vector_unit"
    memory_role = "weight"
    finn_implementation = MVAU_hls

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and the structure of the weights.

        `scale_form` and `multipliers` are as in `qdeploy.fpga.scales`; `codeDataType` is the type
        of what the weight memory holds.
        """
        return {
            **super().get_nodeattr_types(),
            "scale_form": ("s", False, "none", {"none", "post", "recode"}),
            "multipliers": ("ints", False, []),
            "codeDataType": ("s", True, ""),
        }

    def get_exp_cycles(self) -> int:
        """Cycles per frame.

        FINN's folding tries any SIMD; a group of "post" must be whole words, so that only the part
        of SIMD that fits into it counts (and is taken in the end).
        """
        rows = self.get_nodeattr("MH") // self.get_nodeattr("PE")
        words = self.get_nodeattr("MW") // self.usable_simd()
        return int(rows * words * prod(self.get_nodeattr("numInputVectors")))

    def group_columns(self) -> int:
        """Columns whose sum is scaled at once: SIMD must divide it."""
        return int(self.get_nodeattr("MW") // max(1, len(self.get_nodeattr("multipliers"))))

    def usable_simd(self) -> int:
        """The largest part of SIMD that is legal."""
        return gcd(self.get_nodeattr("SIMD"), self.group_columns())

    def parameters(self) -> dict[str, int | str]:
        """Parameters of matrix_vector_unit.v."""
        simd = self.get_nodeattr("SIMD")
        values: dict[str, int | str] = {
            "MW": self.get_nodeattr("MW"),
            "MH": self.get_nodeattr("MH"),
            "SIMD": simd,
            "PE": self.get_nodeattr("PE"),
            "INPUT_BITS": self.get_input_datatype(0).bitwidth(),
            "INPUT_SIGNED": int(self.get_input_datatype(0).signed()),
            "WEIGHT_BITS": self._code_type().bitwidth(),
            "ACCUMULATOR_BITS": self.get_output_datatype().bitwidth(),
        }
        multipliers = [int(m) for m in self.get_nodeattr("multipliers")]
        if multipliers:
            bits = max(1, max(multipliers).bit_length())
            packed = sum(m << (bits * i) for i, m in enumerate(multipliers))
            values |= {
                "SCALED": 1,
                "GROUP_WORDS": self.group_columns() // simd,
                "MULTIPLIER_BITS": bits,
                "MULTIPLIERS": f"{bits * len(multipliers)}'h{packed:x}",
            }
        return values

    def memory(self, model: ModelWrapper) -> Memory:
        """Weight codes: word nf · (MW / SIMD) + sf, element p · SIMD + s."""
        weights: Integers = np.asarray(model.get_initializer(self.onnx_node.input[1])).astype(
            np.int64
        )
        binary = self._code_type() == DataType["BIPOLAR"]
        multipliers = tuple(int(m) for m in self.get_nodeattr("multipliers"))
        if multipliers:
            weights = codes(weights, multipliers, binary)
        if binary:
            weights = (weights + 1) // 2
        columns, rows = weights.shape
        simd, pe = self.get_nodeattr("SIMD"), self.get_nodeattr("PE")
        words = weights.T.reshape(rows // pe, pe, columns // simd, simd).transpose(0, 2, 1, 3)
        return Memory(words.reshape(-1, pe * simd), self._code_type().bitwidth())

    def _code_type(self) -> Any:
        return DataType[self.get_nodeattr("codeDataType")]
