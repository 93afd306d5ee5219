# SPDX-License-Identifier: Apache-2.0
"""The Verilog module of one matrix-vector layer: unit, dot products and memories.

Simulation takes the behavioural hw/rtl/dot_products.v, synthesis the generated structure of LUTs
and carry chains or DSP slices; both have the same ports, latency and sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qdeploy.fpga.compressors.constant_matrix import constant_structure
from qdeploy.fpga.compressors.dot_products import KINDS, Structure, structure
from qdeploy.fpga.compressors.sliced_products import (
    Products,
    legal_products,
    size,
    sliced_structure,
)
from qdeploy.fpga.matrix_vector.arithmetic import Arithmetic, Matrix, Outputs, arithmetic
from qdeploy.fpga.matrix_vector.contents import (
    element_scale_words,
    places,
    scale_share,
    weight_words,
)
from qdeploy.fpga.matrix_vector.top_module import top_module
from qdeploy.fpga.memory import (
    SHALLOW,
    MemoryStyle,
    address_bits,
    memory_words,
    stored_columns,
    write_memory,
)
from qdeploy.fpga.threshold_memory import ThresholdMemory
from qdeploy.integer import Integers

WeightStyle = Literal["auto", "block", "distributed", "constant"]
# The operators of hw/rtl that the module needs, users after what they use.
OPERATORS = (
    "fifo",
    "parallel_to_serial",
    "row_output",
    "group_scale",
    "matrix_vector_unit",
    "dot_products",
    "element_scale",
)


def unit_files(name: str, *, scaled: bool) -> list[str]:
    """Files that `Unit.write` makes of module `name`, users after what they use."""
    parts = ["_dot_products", "_weights", "_rows", *(["_multipliers"] if scaled else []), ""]
    return [f"{name}{part}.v" for part in parts]


@dataclass(frozen=True, eq=False)
class Unit:
    """A matrix-vector layer with its folding.

    Attributes:
        matrix: weights and elements.
        outputs: thresholds, or sums.
        simd: columns per cycle; divides the columns of a group.
        pe: rows per cycle.
        lanes: rows that leave per cycle; divides pe, pe / lanes is at most the words of a block.
        weights: where the weight memory lives; "constant": nowhere, each row is a tree of its own
            (one plane without scales, simd and pe as large as the matrix).
        shared_multipliers: `lanes` multipliers instead of one per row; pe / lanes is at most the
            words of a group then.
        products: LUTs or DSP slices multiply; slices only codes of kind "integer" from a memory.
    """

    matrix: Matrix
    outputs: Outputs
    simd: int
    pe: int
    lanes: int
    weights: WeightStyle = "auto"
    shared_multipliers: bool = False
    products: Products = "lut"

    def __post_init__(self) -> None:
        planes, height, width = self.matrix.codes.shape
        columns = self.matrix.group_columns
        words = columns // self.simd if self.shared_multipliers else planes * width // self.simd
        assert columns % self.simd == height % self.pe == self.pe % self.lanes == 0
        assert self.pe // self.lanes <= words
        assert self.matrix.multipliers is None or self.matrix.element_scales is None
        if self.weights == "constant":
            assert not self.matrix.scaled
            assert (planes, height, width) == (1, self.pe, self.simd)
        if self.products == "dsp":
            assert self.weights != "constant"
            assert "dsp" in legal_products(self.arithmetic().shape)

    @property
    def scale_lanes(self) -> int:
        """Sums multiplied per cycle, if they are scaled."""
        return self.lanes if self.shared_multipliers else self.pe

    @property
    def interval(self) -> int:
        """Cycles per vector."""
        planes, height, width = self.matrix.codes.shape
        return int(planes * (width // self.simd) * (height // self.pe))

    def arithmetic(self) -> Arithmetic:
        """Widths and constants."""
        return arithmetic(self.matrix, self.outputs, self.simd)

    def structure(self, name: str) -> Structure:
        """The dot products in LUTs or DSP slices, as module `name`."""
        numbers = self.arithmetic()
        if self.weights == "constant":
            return constant_structure(numbers.shape, self.matrix.codes[0], numbers.start, name)
        make = sliced_structure if self.products == "dsp" else structure
        return make(numbers.shape, self.pe, numbers.start, name)

    def write(self, directory: Path, name: str) -> None:
        """Write module `name` and what it needs beside the operators of hw/rtl: `unit_files`."""
        core = self.structure(f"{name}_dot_products")
        numbers = self.arithmetic()
        self._write_memories(directory, name, numbers)
        (directory / f"{name}_dot_products.v").write_text(
            "// SPDX-License-Identifier: Apache-2.0\n"
            "// Dot products in cells of the FPGA; behaves as hw/rtl/dot_products.v.\n"
            f"{core.verilog}"
        )
        (directory / f"{name}.v").write_text(self._top(name, numbers, core.latency))

    def _write_memories(self, directory: Path, name: str, numbers: Arithmetic) -> None:
        memories: list[tuple[str, Integers | None, int, MemoryStyle]] = [
            ("weights", self.weight_words(), 1, _memory_style(self.weights)),
            ("rows", self._offset_words(numbers), self.outputs.bits, "auto"),
            ("multipliers", self._multiplier_words(), self.matrix.scale_bits, "auto"),
        ]
        for role, elements, bits, style in memories:
            if elements is not None:
                module = f"{name}_{role}"
                write_memory(
                    directory / f"{module}.v",
                    module,
                    memory_words(elements, bits),
                    elements.shape[1] * bits,
                    style,
                )
        if self.outputs.thresholds is not None:
            self._threshold_memory(numbers).write(directory, f"{name}_rows")

    def _threshold_memory(self, numbers: Arithmetic) -> ThresholdMemory:
        return ThresholdMemory(numbers.rows, self.lanes, numbers.total_bits)

    def weight_words(self) -> Integers:
        """Bits of the weight memory [words, PE · bits · SIMD], in the order of the contract."""
        return weight_words(self.matrix, self.simd, self.pe)

    def _offset_words(self, numbers: Arithmetic) -> Integers | None:
        return numbers.rows.reshape(-1, self.lanes) if self.outputs.thresholds is None else None

    def _multiplier_words(self) -> Integers | None:
        """Order: group (over all planes), or row block, group, step; of elements: place."""
        multipliers = self.matrix.multipliers
        if multipliers is None:
            if self.matrix.element_scales is None:
                return None
            return element_scale_words(self.matrix, self.simd)
        planes, rows, groups = multipliers.shape
        if rows == 1:
            return multipliers.reshape(-1, 1)
        lanes = self.scale_lanes
        blocks = multipliers.reshape(planes, rows // self.pe, self.pe // lanes, lanes, groups)
        return blocks.transpose(1, 0, 4, 2, 3).reshape(-1, lanes)

    def parameters(self) -> dict[str, int | str]:
        """Verilog parameters of the unit and its dot products, and how those are built.

        WEIGHTS and PRODUCTS are attributes of this class, NARROW is that of `Shape`, WEIGHT_WIDTH
        the bits of a word that the weight memory holds (see `stored_columns`). For constant weights
        also PRODUCT_LUTS and PRODUCT_REGISTERS: what their trees take. For scaled elements also
        those of `element_scale`.
        """
        numbers = self.arithmetic()
        more: dict[str, int | str] = {
            "WEIGHTS": self.weights,
            "WEIGHT_WIDTH": 0,
            "PRODUCTS": self.products,
            "NARROW": int(numbers.shape.narrow),
        }
        if self.weights == "constant":
            core = self.structure("unit")
            latency = core.latency
            more |= {"PRODUCT_LUTS": core.luts, "PRODUCT_REGISTERS": core.registers}
        else:
            latency = size(numbers.shape, self.pe, self.products).latency
            more["WEIGHT_WIDTH"] = self._weight_width()
        if self.matrix.element_scales is not None:
            more |= self._element_scale_parameters()
        products = self._product_parameters(numbers, latency)
        return products | self._unit_parameters(numbers, latency) | more

    def _weight_width(self) -> int:
        if self.interval > SHALLOW:
            return self.pe * self.matrix.weight_bits * self.simd
        words = self.weight_words()
        kept, _ = stored_columns(memory_words(words, 1), words.shape[1])
        return len(kept)

    def _unit_parameters(self, numbers: Arithmetic, latency: int) -> dict[str, int | str]:
        planes, height, width = self.matrix.codes.shape
        multipliers, thresholds = self.matrix.multipliers, self.outputs.thresholds
        return {
            "MW": width,
            "MH": height,
            "SIMD": self.simd,
            "PE": self.pe,
            "ELEMENT_BITS": self.matrix.element_bits,
            "PLANES": planes,
            "SUM_BITS": numbers.shape.sum_bits,
            "LATENCY": latency + (self.matrix.element_scales is not None),
            "GROUPS": 1 if multipliers is None else planes * multipliers.shape[2],
            "MULTIPLIER_BITS": numbers.multiplier_bits,
            "PER_ROW": int(multipliers is not None and multipliers.shape[1] > 1),
            "LANES": self.lanes,
            "SCALE_LANES": self.scale_lanes,
            "TOTAL_BITS": numbers.total_bits,
            "STEPS": 0 if thresholds is None else thresholds.shape[1],
            "GAIN": numbers.gain,
            "OUTPUT_BITS": self.outputs.bits,
            "BASE": self.outputs.base,
        }

    def _product_parameters(self, numbers: Arithmetic, latency: int) -> dict[str, int | str]:
        shape = numbers.shape
        return {
            "KIND": KINDS.index(shape.kind),
            "SIMD": self.simd,
            "PE": self.pe,
            "ELEMENT_BITS": shape.element_bits,
            "FLIP": int(shape.flip),
            "WEIGHT_BITS": shape.weight_bits,
            "SUM_BITS": shape.sum_bits,
            "LATENCY": latency,
            "START": f"{shape.sum_bits}'d{numbers.start}",
        }

    def _element_scale_parameters(self) -> dict[str, int | str]:
        matrix = self.matrix
        return {
            "SIMD": self.simd,
            "ELEMENT_BITS": matrix.element_bits,
            "FLIP": int(matrix.elements.signed and not matrix.bipolar),
            "SHARE": scale_share(self.matrix, self.simd),
            "SCALE_BITS": matrix.scale_bits,
            "SCALED_BITS": matrix.factor_bits,
        }

    def _top(self, name: str, numbers: Arithmetic, latency: int) -> str:
        height, matrix, shape = self.matrix.codes.shape[1], self.matrix, numbers.shape
        multipliers, thresholds = matrix.multipliers, self.outputs.thresholds
        per_row = multipliers is not None and multipliers.shape[1] > 1
        multiplier_words, element_scale, scale_bits = 0, None, 1
        if multipliers is not None:
            multiplier_words = len(self._multiplier_words())  # type: ignore[arg-type]
        if matrix.element_scales is not None:
            element_scale = self._element_scale_parameters()
            scale_bits = self.simd // scale_share(self.matrix, self.simd) * matrix.scale_bits
        multiplier_width = numbers.multiplier_bits * (self.scale_lanes if per_row else 1)
        row_address = address_bits(height // self.lanes)
        row_bits = self.lanes * self.outputs.bits
        if thresholds is not None:
            memory = self._threshold_memory(numbers)
            row_address, row_bits = memory.address_bits, memory.width
        return top_module(
            name,
            input_bits=self.simd * matrix.element_bits,
            output_bits=self.lanes * self.outputs.bits,
            code_bits=self.pe * shape.weight_bits * self.simd,
            sum_bits=self.pe * shape.sum_bits,
            weight_address=address_bits(self.interval),
            place=address_bits(places(self.matrix, self.simd)),
            row_address=row_address,
            row_bits=row_bits,
            multiplier_address=address_bits(multiplier_words),
            multiplier_bits=max(1, multiplier_width),
            scale_bits=scale_bits,
            factors_bits=self.simd * shape.element_bits,
            unit=self._unit_parameters(numbers, latency),
            products=self._product_parameters(numbers, latency),
            element_scale=element_scale,
        )


def _memory_style(weights: WeightStyle) -> MemoryStyle:
    """Constant weights are one word, which only the simulation reads."""
    return "distributed" if weights == "constant" else weights
