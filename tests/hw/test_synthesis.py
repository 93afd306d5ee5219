# SPDX-License-Identifier: Apache-2.0
"""Yosys reads every operator and maps it to cells of the FPGA that do what the source says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import test_arg_max
import test_depthwise_unit
import test_fifo
import test_matrix_vector_unit
import test_max_pool
import test_padding
import test_sliding_window
import test_stream_add
import test_stream_concat
import test_stream_fork
import test_sum_pool
import test_threshold
import test_top_k
import test_upsample
import test_width_converter
from operator_bench import RTL, Bench, write_bench

from qdeploy.fpga.yosys import run_yosys
from qdeploy.simulation.verilator import build_model

pytestmark = pytest.mark.slow

# The check of each operator and the variant it is made for. Those with Verilog of their own for
# Verilator, or memories that Yosys may infer wrongly, come with more than one.
CHECKS: list[tuple[Callable[..., None], Any]] = [
    (test_fifo.test_words_leave_in_order, test_fifo.VARIANTS[3]),
    (test_width_converter.test_elements_stay_in_order, test_width_converter.VARIANTS[1]),
    (test_padding.test_border_around_every_frame, test_padding.VARIANTS[1]),
    (test_sliding_window.test_words_of_every_window_in_order, test_sliding_window.VARIANTS[3]),
    *(
        (test_matrix_vector_unit.test_products_at_the_promised_rate, layer)
        for layer in test_matrix_vector_unit.LAYERS
        if layer.name
        in ("xnor_bipolar", "ternary_pixels_shared", "binary_two_bits", "two_bits", "pre_signed")
    ),
    (test_threshold.test_counts_the_thresholds_reached, test_threshold.QUANTIZERS[0]),
    (test_max_pool.test_maximum_of_every_window, test_max_pool.VARIANTS[1]),
    (test_arg_max.test_index_of_the_first_maximum, test_arg_max.VARIANTS[1]),
    (test_stream_fork.test_every_reader_gets_every_word_once, test_stream_fork.VARIANTS[1]),
    (test_stream_add.test_weighted_sum_of_the_streams, test_stream_add.ADDERS[1]),
    (test_stream_concat.test_pixels_behind_each_other, test_stream_concat.VARIANTS[2]),
    (test_sum_pool.test_sum_of_pixels, test_sum_pool.VARIANTS[3]),
    (test_depthwise_unit.test_channels_have_weights_of_their_own, test_depthwise_unit.UNITS[6]),
    (test_upsample.test_rows_and_pixels_repeated, test_upsample.VARIANTS[1]),
    (test_top_k.test_indices_of_the_largest, test_top_k.VARIANTS[1]),
]
# Modules of the tests around operators of several streams.
WRAPPERS = {
    "checked_fifo.v": test_fifo.CHECKED_FIFO,
    "forked.v": test_stream_fork.FORKED,
    "added.v": test_stream_add.ADDED,
    "concatenated.v": test_stream_concat.CONCATENATED,
    "valve.v": test_stream_fork.VALVE.read_text(),
}

# Logic, carry chains, flip-flops, LUT memory, clock buffer. No latch; block RAM and DSP slices are
# switched off, as Yosys has no simulation models for them.
CELLS = {
    *(f"LUT{inputs}" for inputs in range(1, 7)),
    "LUT6_2",
    *("INV", "MUXF7", "MUXF8", "CARRY4", "FDRE", "FDSE", "BUFG"),
    *("RAM32X1D", "RAM64X1D", "RAM128X1D", "RAM32M", "RAM64M", "SRL16E", "SRLC32E"),
}

SCRIPT = """
read_verilog -defer {files}
read_verilog -lib +/xilinx/cells_sim.v
hierarchy -check -top bench
synth_xilinx -family xc7 -top bench -flatten -noiopad -nobram -nodsp
tee -o cells.json stat -json
setundef -zero -params
write_verilog -noattr cells.v
design -reset
read_verilog cells.v +/xilinx/cells_sim.v
hierarchy -top bench
proc
flatten
opt_clean
write_verilog -noattr netlist.v
"""


@dataclass(frozen=True)
class Synthesized:
    """What Yosys made of all operators.

    Attributes:
        cells: number of cells by type.
        bench: simulates the cells.
    """

    cells: dict[str, int]
    bench: Bench


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    directory = tmp_path_factory.mktemp("synthesis")
    variants = [getattr(case, "variant", case) for _, case in CHECKS]
    layers = [case for _, case in CHECKS if isinstance(case, test_matrix_vector_unit.Layer)]
    files = test_matrix_vector_unit.write_modules(directory, layers)
    files += write_bench(directory, variants)
    files += [Path(shutil.copy(source, directory)) for source in sorted(RTL.glob("*.v"))]
    for name, text in WRAPPERS.items():
        files.append(directory / name)
        files[-1].write_text(text)
    script = SCRIPT.format(files=" ".join(file.name for file in files))
    run_yosys("; ".join(script.strip().splitlines()), directory)
    (module,) = json.loads((directory / "cells.json").read_text())["modules"].values()
    model = build_model([directory / "netlist.v"], "bench", directory)
    return Synthesized(module["num_cells_by_type"], Bench(model, variants))


def test_only_the_expected_cells(synthesized: Synthesized) -> None:
    cells = {cell for cell in synthesized.cells if not cell.startswith("$scopeinfo")}
    assert "FDRE" in cells
    assert "RAM32M" in cells
    assert cells <= CELLS


@pytest.mark.parametrize("gaps", [(0.0, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize(
    ("check", "case"), CHECKS, ids=lambda value: getattr(value, "__name__", "")
)
def test_cells_compute_the_same(
    synthesized: Synthesized, check: Callable[..., None], case: Any, gaps: tuple[float, float]
) -> None:
    check(synthesized.bench, case, gaps)
