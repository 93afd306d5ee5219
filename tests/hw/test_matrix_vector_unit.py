# SPDX-License-Identifier: Apache-2.0
"""The matrix-vector unit, simulated behaviourally and as cells of the FPGA, against numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, write_bench

from qdeploy.fpga.compressors.sliced_products import Products
from qdeploy.fpga.matrix_vector import Matrix, Outputs
from qdeploy.fpga.matrix_vector.module import OPERATORS, Unit, unit_files
from qdeploy.integer import ValueRange
from qdeploy.simulation.verilator import build_model

PRIMITIVES = Path(__file__).with_name("primitives.v")
BIPOLAR = ValueRange(-1, 1)
CODES = {"binary": [-1, 1], "ternary": [-1, 0, 1], "narrow": list(range(-127, 128))}


@dataclass(frozen=True)
class Layer:
    """A unit with random weights, and what it must compute."""

    name: str
    unit: Unit

    def __str__(self) -> str:
        return self.name

    @property
    def variant(self) -> Variant:
        unit = self.unit
        raw = unit.outputs.thresholds is None
        return Variant(
            self.name,
            {},
            (unit.simd, unit.matrix.element_bits),
            (unit.lanes, unit.outputs.bits),
            signed=raw or unit.outputs.base < 0,
            rate=(unit.matrix.codes.shape[1] // unit.lanes, unit.interval),
        )

    def vectors(self, count: int) -> np.ndarray:
        """Random input vectors [count, MW], their ends included."""
        rng = np.random.default_rng(7)
        matrix, size = self.unit.matrix, (count, self.unit.matrix.codes.shape[2])
        low, high = matrix.elements.low, matrix.elements.high
        x = rng.choice([-1, 1], size) if matrix.bipolar else rng.integers(low, high + 1, size)
        x[:2] = [[low], [high]]
        return x

    def stored(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors as words of stored elements."""
        elements = (vectors + 1) // 2 if self.unit.matrix.bipolar else vectors
        return elements.reshape(-1, self.unit.simd)

    def expected(self, vectors: np.ndarray) -> np.ndarray:
        """Output words."""
        y = vectors @ weights(self.unit.matrix).T
        thresholds = self.unit.outputs.thresholds
        if thresholds is not None:
            y = self.unit.outputs.base + (y[..., np.newaxis] >= thresholds).sum(-1)
        return y.reshape(-1, self.unit.lanes)


def weights(matrix: Matrix) -> np.ndarray:
    """[MH, MW], codes and multipliers multiplied out."""
    scales = matrix.multipliers
    if matrix.element_scales is not None:
        scales = matrix.element_scales[:, np.newaxis]
    if scales is None:
        return matrix.codes[0]
    size = matrix.codes.shape[2] // scales.shape[2]
    return (matrix.codes * scales.repeat(size, axis=2)).sum(axis=0)


def layer(
    name: str,
    kind: str | int,
    shape: tuple[int, int],
    elements: ValueRange,
    fold: tuple[int, int, int],
    levels: int = 0,
    *,
    planes: int = 1,
    groups: int = 0,
    per_row: bool = False,
    base: int = 0,
    style: str = "auto",
    shared: bool = False,
    products: Products = "lut",
    pre: bool = False,
) -> Layer:
    """A layer of `shape` (MH, MW).

    Args:
        name: of its module.
        kind: of weights, or their bits.
        shape: MH, MW.
        elements: input range; BIPOLAR is one bit.
        fold: SIMD, PE, lanes.
        levels: thresholds per row, 0 for the sums themselves.
        planes: code tensors.
        groups: of columns with a scale, 0 for none.
        per_row: each row has its own scales.
        base: output below all thresholds.
        style: of the weight memory.
        shared: lanes share the multipliers.
        products: what multiplies.
        pre: the elements are scaled, not the sums.
    """
    rng = np.random.default_rng([ord(letter) for letter in name])
    limit = 0 if isinstance(kind, str) else 1 << (kind - 1)
    values = CODES[kind] if isinstance(kind, str) else list(range(-limit, limit))
    codes = rng.choice(values, (planes, *shape))
    codes[:, 0], codes[:, -1] = values[0], values[-1]
    multipliers = None
    if groups:
        multipliers = rng.integers(0, 40, (planes, shape[0] if per_row else 1, groups))
        multipliers[0, 0, -1] = 39
    matrix = Matrix(codes, multipliers, elements, elements == BIPOLAR)
    if pre:
        matrix = replace(matrix, multipliers=None, element_scales=multipliers[:, 0])
    largest = max(-elements.low, elements.high) * np.abs(weights(matrix)).sum(axis=1).max()
    outputs = Outputs(None, 0, int(largest).bit_length() + 1)
    if levels:
        spread = rng.integers(-largest // 2, largest // 2 + 2, (shape[0], levels))
        spread[0, 0], spread[-1, -1] = -largest, largest + 1  # always, never
        reach = ValueRange(min(base, 0), base + levels)
        outputs = Outputs(np.sort(spread, axis=1), base, reach.bits)
    return Layer(name, Unit(matrix, outputs, *fold, style, shared, products))


def unsigned(bits: int) -> ValueRange:
    return ValueRange(0, (1 << bits) - 1)


def signed(bits: int) -> ValueRange:
    return ValueRange(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


LAYERS = [
    layer("xnor_bipolar", "binary", (8, 36), BIPOLAR, (6, 4, 4), 1),
    layer("xnor_one_bit", "binary", (8, 36), unsigned(1), (9, 4, 2), 1),
    layer("xnor_sums", "binary", (6, 64), BIPOLAR, (32, 2, 1)),
    layer("binary_two_bits", "binary", (8, 36), unsigned(2), (12, 2, 1), 3),
    layer("binary_signed", "binary", (4, 10), signed(4), (5, 2, 1), 7, base=-4),
    layer("binary_image", "binary", (4, 27), unsigned(8), (27, 1, 1), 1),
    layer("binary_pixels", "binary", (4, 72), unsigned(2), (4, 2, 1), 3, groups=9),
    layer("ternary_pixels", "ternary", (8, 72), unsigned(2), (4, 4, 2), 3, groups=9),
    layer(
        "ternary_pixels_shared",
        "ternary",
        (8, 72),
        unsigned(2),
        (4, 4, 2),
        3,
        groups=9,
        shared=True,
    ),
    layer("ternary_sums_shared", "ternary", (8, 72), unsigned(2), (2, 4, 1), groups=9, shared=True),
    layer("ternary_sums", "ternary", (8, 72), unsigned(2), (2, 4, 1), groups=9),
    layer("ternary_planes", "ternary", (8, 16), signed(3), (4, 8, 4), 3, planes=2, groups=2),
    layer("rows", "ternary", (8, 16), signed(3), (4, 8, 4), 3, groups=2, per_row=True),
    layer(
        "rows_shared",
        "ternary",
        (8, 16),
        signed(3),
        (4, 8, 4),
        3,
        groups=2,
        per_row=True,
        shared=True,
    ),
    layer(
        "binary_planes", "binary", (6, 8), unsigned(2), (4, 3, 3), planes=3, groups=1, per_row=True
    ),
    layer("pre_pixels", "ternary", (8, 72), unsigned(2), (4, 4, 2), 3, groups=9, pre=True),
    layer("pre_pixels_wide", "ternary", (6, 36), unsigned(2), (12, 6, 2), 3, groups=9, pre=True),
    layer("pre_columns", "ternary", (4, 18), unsigned(4), (6, 4, 2), 7, groups=18, pre=True),
    layer("pre_one_bit", "binary", (8, 36), unsigned(1), (6, 2, 1), 1, groups=4, pre=True),
    layer("pre_bipolar", "ternary", (8, 36), BIPOLAR, (6, 4, 2), 3, groups=9, pre=True),
    layer("pre_bipolar_word", "binary", (5, 9), BIPOLAR, (9, 5, 5), groups=9, pre=True),
    layer("pre_signed", "ternary", (6, 20), signed(3), (5, 3, 1), 7, base=-4, groups=2, pre=True),
    layer("pre_planes", "binary", (6, 12), signed(4), (4, 3, 1), 3, planes=3, groups=3, pre=True),
    layer(
        "pre_planes_word", "ternary", (4, 8), unsigned(8), (8, 2, 1), planes=2, groups=1, pre=True
    ),
    layer("pre_integer", 3, (4, 12), BIPOLAR, (3, 2, 1), 5, groups=4, pre=True),
    layer("pre_image", "ternary", (1, 9), unsigned(8), (1, 1, 1), groups=9, pre=True),
    layer("ternary_255", "ternary", (4, 24), unsigned(8), (6, 4, 1), 255),
    layer("ternary_two_levels", "ternary", (4, 6), unsigned(8), (6, 4, 4), 2, base=-1),
    layer("ternary_tall", "ternary", (10, 64), unsigned(2), (8, 5, 1)),
    layer("ternary_word", "ternary", (6, 5), unsigned(1), (5, 6, 6), 1),
    layer("four_bits", 4, (6, 10), signed(4), (5, 3, 3), 7),
    layer("three_bits_bipolar", 3, (6, 10), BIPOLAR, (5, 6, 3)),
    layer("two_bits", 2, (4, 12), unsigned(3), (3, 2, 1), 31),
    layer("two_bits_planes", 2, (4, 12), unsigned(2), (3, 2, 2), 5, planes=2, groups=4),
    layer("single", 2, (1, 1), unsigned(2), (1, 1, 1)),
    layer("single_weight_row", "ternary", (1, 40), unsigned(4), (1, 1, 1), 15),
    layer("luts", "ternary", (20, 64), unsigned(2), (2, 4, 1), 3, style="distributed"),
    layer("constant_xnor", "binary", (5, 40), BIPOLAR, (40, 5, 5), 1, style="constant"),
    layer("constant_binary", "binary", (6, 20), signed(3), (20, 6, 6), 7, style="constant"),
    layer("constant_ternary", "ternary", (4, 30), unsigned(2), (30, 4, 4), 3, style="constant"),
    layer("constant_four_bits", 4, (3, 12), signed(8), (12, 3, 3), style="constant"),
    layer("block", "binary", (16, 64), unsigned(1), (8, 4, 4), 1, style="block"),
    layer("slices_four_bits", 4, (10, 36), unsigned(4), (9, 5, 5), 15, products="dsp"),
    layer("slices_eight_bits", 8, (6, 20), signed(8), (5, 3, 1), products="dsp"),
    layer("slices_narrow", "narrow", (6, 20), unsigned(8), (5, 3, 1), 3, products="dsp"),
    layer("slices_three_bits", 3, (8, 24), signed(3), (8, 8, 4), 7, base=-4, products="dsp"),
    layer("slices_mixed", 5, (2, 12), unsigned(8), (12, 1, 1), 3, products="dsp"),
    layer("slices_pixels", 4, (6, 36), signed(4), (4, 3, 3), 3, groups=9, products="dsp"),
    layer("slices_bipolar", 6, (4, 10), BIPOLAR, (5, 4, 2), 1, products="dsp"),
]


def build_layers(directory: Path, layers: Sequence[Layer], *, structural: bool) -> Bench:
    """All layers in one simulation, of behavioural Verilog or of cells."""
    variants = [one.variant for one in layers]
    files = write_modules(directory, layers) + write_bench(directory, variants)
    sources = [*files, *(RTL / f"{operator}.v" for operator in OPERATORS)]
    if structural:
        chosen = directory / "synthesis.v"
        chosen.write_text("`define SYNTHESIS\n")
        sources = [chosen, *sources, PRIMITIVES]
    return Bench(build_model(sources, "bench", directory), variants)


def write_modules(directory: Path, layers: Sequence[Layer]) -> list[Path]:
    """What the layers need beside hw/rtl."""
    files = []
    for one in layers:
        one.unit.write(directory, one.name)
        scaled = one.unit.matrix.scaled
        files += [directory / file for file in unit_files(one.name, scaled=scaled)]
    return files


@pytest.fixture(scope="module", params=["behavioural", "structural"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp(request.param)
    return build_layers(directory, LAYERS, structural=request.param == "structural")


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_products_at_the_promised_rate(
    bench: Bench, layer: Layer, gaps: tuple[float, float]
) -> None:
    vectors = layer.vectors(40)
    bench.check(layer.variant, layer.stored(vectors), layer.expected(vectors), gaps)


def test_next_vector_is_taken_while_one_is_computed(bench: Bench) -> None:
    """A slow but steady source costs nothing as long as a vector fits beside the one in use."""
    chosen = next(layer for layer in LAYERS if layer.name == "ternary_tall")
    vectors = chosen.vectors(60)
    words = 60 * 8
    interval, gap = chosen.unit.interval, 1 - 1.3 * 8 / chosen.unit.interval
    _, result = bench.run(chosen.variant, chosen.stored(vectors), words * 10 // 8, gaps=(gap, 0.0))
    frames = np.diff(result.output_cycles[9::10])
    assert frames[5:].mean() < 1.1 * interval
