# SPDX-License-Identifier: Apache-2.0
"""What FPGA operators and whole accelerators cost: synthesized by Yosys for xc7, nothing placed.

    python benchmarks/fpga.py --operators --json operators.json
    python benchmarks/fpga.py --networks cnv-w1a1-fill tfc-w1a1 --json networks.json

LUTs are sites (pairs packed as qdeploy.fpga.sites does); the matrix-vector units have 576 columns,
64 rows, their weights in block RAM, 2-bit thresholds and the output queue. The clock rate is that
of the yardstick qdeploy.fpga.timing, no prediction.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rows import Row, write  # noqa: E402

from qdeploy.fpga.compressors.dot_products import Shape, structure  # noqa: E402
from qdeploy.fpga.compressors.sliced_products import Products  # noqa: E402
from qdeploy.fpga.matrix_vector import Matrix, Outputs  # noqa: E402
from qdeploy.fpga.matrix_vector.module import OPERATORS, Unit, unit_files  # noqa: E402
from qdeploy.fpga.synthesis import netlists  # noqa: E402
from qdeploy.fpga.timing import longest_path  # noqa: E402
from qdeploy.fpga.usage import usage  # noqa: E402
from qdeploy.integer import ValueRange  # noqa: E402

RTL = ROOT / "hw" / "rtl"
COLUMNS, ROWS, LEVELS, POSITIONS = 576, 64, 3, 9
# FINN 1.4's formula for its HLS units with thresholds (MVAU_hls.lut_estimation, same shapes).
FINN = "FINN's HLS formula: {:g}"
# finn-rtllib's mvu.sv, made readable for Yosys, without weights, thresholds and stream control.
FINN_CORE = "FINN's RTL core by Yosys: {:g}"
SLOWEST_MHZ = 150


@dataclass(frozen=True)
class MatrixCase:
    """A matrix-vector unit.

    Attributes:
        weights: "binary", "ternary" or bits of integers.
        bits: of unsigned elements.
        pe, simd, lanes: folding.
        limit: LUTs per lane, at most.
        scales: "" or how pixel-wise scales are multiplied: "own" (a DSP per row), "shared", "pre"
            (with the elements).
        finn: LUTs per lane by FINN's formula.
        products: what multiplies.
        finn_core: LUTs per lane of FINN's RTL core, which multiplies in as many DSP slices.
        slow: left out of quick runs.
    """

    weights: str | int
    bits: int
    pe: int
    simd: int
    lanes: int = 1
    limit: float | None = None
    scales: str = ""
    finn: float | None = None
    products: Products = "lut"
    finn_core: float | None = None
    slow: bool = False

    @property
    def name(self) -> str:
        """For instance mvu-ternary-u2-16x32-own, mvu-int4-u4-8x16-dsp."""
        weights = self.weights if isinstance(self.weights, str) else f"int{self.weights}"
        more = [self.scales] * bool(self.scales) + ["dsp"] * (self.products == "dsp")
        return "-".join([f"mvu-{weights}-u{self.bits}-{self.pe}x{self.simd}", *more])

    def unit(self) -> Unit:
        """Random weights and thresholds."""
        rng = np.random.default_rng(0)
        values: list[int] | range = [-1, 1] if self.weights == "binary" else [-1, 0, 1]
        if isinstance(self.weights, int):
            values = range(-(1 << self.weights - 1), 1 << self.weights - 1)
        codes = rng.choice(values, (1, ROWS, COLUMNS))
        multipliers = rng.integers(1, 256, (1, 1, POSITIONS)) if self.scales else None
        elements = ValueRange(0, (1 << self.bits) - 1)
        matrix = Matrix(codes, multipliers, elements)
        if self.scales == "pre":
            assert multipliers is not None
            matrix = Matrix(codes, None, elements, element_scales=multipliers[0])
        thresholds = np.sort(rng.integers(-40, 40, (ROWS, LEVELS)), axis=1)
        outputs = Outputs(thresholds, 0, LEVELS.bit_length())
        shared = self.scales == "shared"
        folding = self.simd, self.pe, self.lanes
        return Unit(matrix, outputs, *folding, "block", shared, self.products)


MATRIX_CASES = (
    MatrixCase("ternary", 2, 8, 16),
    MatrixCase("ternary", 2, 8, 16, scales="own"),
    MatrixCase("ternary", 2, 8, 16, lanes=2, scales="shared"),
    MatrixCase("ternary", 2, 8, 16, scales="pre"),
    MatrixCase(4, 4, 8, 16),
    MatrixCase(4, 4, 8, 16, products="dsp"),
    MatrixCase(8, 8, 8, 16, slow=True),
    MatrixCase(8, 8, 8, 16, products="dsp", slow=True),
    MatrixCase(8, 2, 8, 16, products="dsp", finn_core=26.4, slow=True),
    MatrixCase("binary", 1, 16, 32, limit=2.1, finn=7.5),
    MatrixCase("ternary", 2, 16, 32, limit=3.5, finn=14.1, slow=True),
    MatrixCase("binary", 2, 32, 64, lanes=4, limit=2.45, finn=10.2, slow=True),
)
# Compute cores alone, accumulators included: LUTs counted by the generator. Limit for xnor.
CORES = (("xnor", 1, 64, 1.3), ("binary", 2, 64, None), ("ternary", 2, 64, None))
# The other operators at the size of a 64-channel layer of 32 x 32 pixels, 2 bits.
_IMAGE = {"FOLD": 4, "HEIGHT": 34, "IMAGE_WIDTH": 34}
OTHERS: dict[str, tuple[str, dict[str, int]]] = {
    "fifo-32x32": ("fifo", {"WIDTH": 32, "DEPTH": 32}),
    "fifo-32x500": ("fifo", {"WIDTH": 32, "DEPTH": 500}),
    "width-converter-32-8": ("width_converter", {"IN_WIDTH": 32, "OUT_WIDTH": 8}),
    "padding-32x32": ("padding", {"WIDTH": 32, "FOLD": 4, "HEIGHT": 32, "IMAGE_WIDTH": 32}
                      | dict.fromkeys(("TOP", "LEFT", "BOTTOM", "RIGHT"), 1)),
    "window-3x3": ("sliding_window", {"WIDTH": 32, **_IMAGE, "KERNEL_HEIGHT": 3,
                                      "KERNEL_WIDTH": 3}),
    "threshold-16x3": ("threshold", {"CHANNELS": 64, "PE": 4, "INPUT_BITS": 12, "STEPS": 3,
                                     "OUTPUT_BITS": 2}),
    "depthwise-8x3": ("depthwise_unit", {"CHANNELS": 64, "PE": 8, "KERNEL_WORDS": 9,
                                         "INPUT_BITS": 2, "WEIGHT_BITS": 2, "SUM_BITS": 8,
                                         "STEPS": 3, "LANES": 1, "OUTPUT_BITS": 2}),
    "max-pool-16": ("max_pool", {"PE": 16, "BITS": 2, "KERNEL_WORDS": 4}),
    "arg-max-10": ("arg_max", {"CLASSES": 10, "PE": 1, "BITS": 12}),
}  # fmt: skip


def main() -> None:
    """Print the table and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operators", action="store_true", help="cost of single operators")
    parser.add_argument(
        "--networks", nargs="*", metavar="CASE", help="whole accelerators: these, or all"
    )
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--json", type=Path, help="write the rows here, those of other cases stay")
    options = parser.parse_args()
    rows: list[Row] = []
    parts: list[Iterator[Row]] = []
    if options.operators:
        parts.append(operators(quick=options.quick))
    if options.networks is not None:
        from fpga_networks import network_rows

        parts.append(starmap(Row, network_rows(options.networks, quick=options.quick)))
    for row in chain(*parts):
        print(
            f"{row.case:32} {row.metric:28} {row.value:10.6g} {row.unit:9} {row.against}",
            flush=True,
        )
        rows.append(row)
        if options.json:
            replace_cases(options.json, rows)


def replace_cases(path: Path, rows: list[Row]) -> None:
    """Write the rows; those of other cases in the file stay."""
    cases: dict[str, list[Row]] = {}
    for old in json.loads(path.read_text()) if path.exists() else ():
        cases.setdefault(old["case"], []).append(Row(**old))
    cases |= {case: [] for case in {row.case: None for row in rows}}
    for row in rows:
        cases[row.case].append(row)
    write(chain(*cases.values()), path)


def operators(*, quick: bool) -> Iterator[Row]:
    """Compute cores, matrix-vector units, all others."""
    for kind, bits, simd, limit in CORES:
        shape = Shape(kind, simd, bits, False, 2 if kind == "ternary" else 1, 9 + bits + 2)
        core = structure(shape, 32, 0, "core")
        against = "" if limit is None else f"at most {limit}"
        yield Row(
            f"core-{kind}-u{bits}-32x{simd}", "lut_per_lane", core.luts / simd / 32, "LUT", against
        )
    plain = None
    for case in MATRIX_CASES:
        if quick and case.slow:
            continue
        unit = case.unit()
        module = synthesized("unit", unit)
        luts = usage(module).lut
        yield from _resources(case.name, module)
        if not case.scales:
            plain = plain or luts
            against = "" if case.limit is None else f"at most {case.limit}; "
            against += "" if case.finn is None else FINN.format(case.finn)
            against += "" if case.finn_core is None else FINN_CORE.format(case.finn_core)
            yield Row(case.name, "lut_per_lane", luts / case.pe / case.simd, "LUT", against)
        else:
            limit = {"own": "at most 15", "shared": "at most 25", "pre": ""}[case.scales]
            assert plain is not None
            share = 100 * (luts / plain - 1)
            yield Row(case.name, "scale_overhead", share, "%", limit)
    for name, (operator, parameters) in OTHERS.items():
        yield from _resources(name, synthesized(operator, parameters))


def synthesized(top: str, contents: Unit | dict[str, int]) -> dict[str, Any]:
    """The flat module that Yosys makes of a unit, or of an operator with parameters."""
    with tempfile.TemporaryDirectory() as folder:
        directory, instance = Path(folder), top
        for path in RTL.glob("*.v"):
            shutil.copyfile(path, directory / path.name)
        if isinstance(contents, Unit):
            contents.write(directory, top)
            scaled = contents.matrix.scaled
            files = [*(f"{name}.v" for name in OPERATORS), *unit_files(top, scaled=scaled)]
        else:
            files = ["parallel_to_serial.v", "row_output.v", f"{top}.v"]
            values = ", ".join(f".{name}({value})" for name, value in contents.items())
            instance = f"{top} #({values})"
        (module,) = netlists(files, [instance], directory)
    return module


def _resources(name: str, module: dict[str, Any]) -> Iterator[Row]:
    used, path = usage(module), longest_path(module)
    yield Row(name, "luts", used.lut, "LUT", f"{used.lut_cells} LUT cells")
    yield Row(name, "flip_flops", used.ff, "FF")
    if used.bram36:
        yield Row(name, "bram36", used.bram36, "BRAM")
    if used.dsp:
        yield Row(name, "dsps", used.dsp, "DSP")
    yield Row(name, "timing_mhz", path.mhz, "MHz", f"at least {SLOWEST_MHZ}")


if __name__ == "__main__":
    main()
