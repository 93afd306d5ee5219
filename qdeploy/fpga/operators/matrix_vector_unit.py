# SPDX-License-Identifier: Apache-2.0
"""MVAU: matrix times vectors, scales inside the sum, thresholds (hw/rtl/matrix_vector_unit.v)."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from math import gcd, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.hls.matrixvectoractivation_hls import MVAU_hls
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU
from qonnx.core.datatype import DataType

from qdeploy.fpga.matrix_vector import Matrix, Outputs
from qdeploy.fpga.matrix_vector.module import OPERATORS, Unit, unit_files
from qdeploy.fpga.memory import worth_block
from qdeploy.fpga.operators.wrapper import Instance, VerilogOperator, fewest_lanes
from qdeploy.fpga.scales import ScaledColumns
from qdeploy.integer import Integers, ValueRange

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


class MatrixVectorUnit(VerilogOperator, MVAU):  # type: ignore[misc]
    """`weightDataType` and the weight input are expanded integers; the hardware keeps codes.

    FINN's estimate is its HLS formula for the expanded weights: FINN knows no other scales.
    """

    operator = "matrix_vector_unit"
    library = OPERATORS
    finn_implementation = MVAU_hls

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """FINN's attributes and the structure of the weights, as in `qdeploy.fpga.scales`.

        `weight_memory` says where the codes live: "auto", "block" or "distributed", or "constant"
        for logic instead of a memory (PE = MH, SIMD = MW, no scales);
        `shared_multipliers` is 1 for as many multipliers as outputs per cycle instead of PE;
        `products` says what multiplies: "lut", or "dsp" where the codes allow it.
        """
        return {
            **super().get_nodeattr_types(),
            "scale_form": ("s", False, "none", {"none", "post", "pre", "recode"}),
            "codes": ("t", True, None),
            "multipliers": ("t", False, None),
            "products": ("s", False, "lut", {"lut", "dsp"}),
            "shared_multipliers": ("i", False, 0, {0, 1}),
            "weight_memory": ("s", False, "auto", {"auto", "block", "distributed", "constant"}),
        }

    @cached_property
    def columns(self) -> ScaledColumns:
        """Structured weights."""
        multipliers = self.get_nodeattr("multipliers")
        return ScaledColumns(
            self.get_nodeattr("scale_form"),
            self.get_nodeattr("codes").astype(np.int64),
            None if multipliers is None else multipliers.astype(np.int64),
        )

    @cached_property
    def matrix(self) -> Matrix:
        """Structured weights and elements."""
        return self.matrix_of(self.columns)

    def matrix_of(self, columns: ScaledColumns) -> Matrix:
        """The same with other weights."""
        kind = self.get_input_datatype(0)
        matrix = Matrix(
            columns.codes,
            columns.multipliers,
            ValueRange(int(kind.min()), int(kind.max())),
            kind == DataType["BIPOLAR"],
        )
        if columns.form == "pre" and columns.multipliers is not None:
            scales = columns.multipliers[:, 0]
            return replace(matrix, multipliers=None, element_scales=scales)
        return matrix

    def usable_simd(self) -> int:
        """The largest part of SIMD that is legal."""
        return gcd(self.get_nodeattr("SIMD"), self.matrix.group_columns)

    def vector_words(self) -> int:
        """Words of an input vector."""
        return int(self.get_nodeattr("MW") // self.get_nodeattr("SIMD"))

    def rounds(self) -> int:
        """How often a vector is read."""
        return int(len(self.matrix.codes) * self.get_nodeattr("MH") // self.get_nodeattr("PE"))

    def spare_words(self) -> int:
        """Words that the unit holds beside a vector (see hw/rtl/matrix_vector_unit.v)."""
        words = self.vector_words()
        return int(max(32, 1 << words.bit_length()) - words)

    def lanes(self) -> int:
        """Rows that leave per cycle: as few as keep up with the sums."""
        columns = self.matrix.group_columns
        if not self.get_nodeattr("shared_multipliers"):
            columns = len(self.matrix.codes) * self.get_nodeattr("MW")
        words = columns // self.usable_simd()
        return fewest_lanes(self.get_nodeattr("PE"), words)

    def weight_style(self) -> str:
        """`weight_memory`, "auto" decided."""
        style: str = self.get_nodeattr("weight_memory")
        if style != "auto":
            return style
        width = self.get_nodeattr("PE") * self.get_nodeattr("SIMD") * self.matrix.weight_bits
        return "block" if worth_block(self.vector_words() * self.rounds(), width) else "distributed"

    def get_exp_cycles(self) -> int:
        """Cycles per frame.

        FINN's folding tries any SIMD; a group of "post" must be whole words, so that only the part
        of SIMD that fits into it counts (and is taken in the end).
        """
        rows = self.get_nodeattr("MH") // self.get_nodeattr("PE")
        words = len(self.matrix.codes) * self.get_nodeattr("MW") // self.usable_simd()
        return int(rows * words * prod(self.get_nodeattr("numInputVectors")))

    def get_outstream_width(self, ind: int = 0) -> int:
        """Bits of an output word: LANES elements."""
        return int(self.lanes() * self.get_output_datatype().bitwidth())

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Words of LANES elements."""
        lanes = self.lanes()
        return (*self.get_nodeattr("numInputVectors"), self.get_nodeattr("MH") // lanes, lanes)

    def compute(self, context: dict[str, Any], graph: Any) -> None:
        """Exact integers, whatever their size."""
        node = self.onnx_node
        x = context[node.input[0]].astype(np.int64).reshape(-1, self.get_nodeattr("MW"))
        y = x @ context[node.input[1]].astype(np.int64)
        if len(node.input) > 2:
            thresholds = context[node.input[2]].astype(np.int64)
            count = (y[..., np.newaxis] >= thresholds).sum(-1)
            bipolar = self.get_output_datatype() == DataType["BIPOLAR"]
            y = 2 * count - 1 if bipolar else count + self.get_nodeattr("ActVal")
        context[node.output[0]] = y.reshape(context[node.output[0]].shape).astype(np.float32)

    def unit(self, model: ModelWrapper) -> Unit:
        """The layer as hardware."""
        node = self.onnx_node
        thresholds: Integers | None = None
        if len(node.input) > 2:
            thresholds = model.get_initializer(node.input[2]).astype(np.int64)
        kind = self.get_output_datatype()
        bipolar = kind == DataType["BIPOLAR"]
        base = 0 if bipolar or thresholds is None else int(self.get_nodeattr("ActVal"))
        return Unit(
            self.matrix,
            Outputs(thresholds, base, kind.bitwidth()),
            self.get_nodeattr("SIMD"),
            self.get_nodeattr("PE"),
            self.lanes(),
            self.get_nodeattr("weight_memory"),
            bool(self.get_nodeattr("shared_multipliers")),
            self.get_nodeattr("products"),
        )

    def write_operator(self, model: ModelWrapper, directory: Path) -> Instance:
        """The unit with its memories as one module."""
        module = self._unit_module()
        self.unit(model).write(directory, module)
        return Instance(module)

    def generated_files(self) -> list[str]:
        """Files of the unit."""
        return unit_files(self._unit_module(), scaled=self.matrix.scaled)

    def _unit_module(self) -> str:
        return f"{self.get_verilog_top_module_name().removesuffix('_node')}_unit"
