# SPDX-License-Identifier: Apache-2.0
"""Whole accelerators on a PYNQ-Z2: folded by the solver, simulated in Verilator, sized by Yosys.

Weights are random (thresholds come from batch statistics of random images): cycles, resources and
equality do not depend on training. Part of benchmarks/fpga.py.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qdeploy.exporter import export_qonnx
from qdeploy.fpga.board import load_board
from qdeploy.fpga.estimation import estimate
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import IntegerNetwork, run_codes
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig, build_network

BOARD = load_board("pynq-z2")
MEASUREMENTS = 8  # passes that settle the batch statistics


@dataclass(frozen=True)
class NetworkCase:
    """A network at one aim.

    Attributes:
        name: of the row.
        config: the network.
        fps: frames per second to reach with as few LUTs as possible, or
        fill: share of each resource of the board that may be used, as fast as possible.
        frames: simulated.
        against: published figures, with their conditions.
        quick: whether a quick run includes it.
    """

    name: str
    config: NetworkConfig
    fps: float | None = None
    fill: float = 1.0
    frames: int = 8
    against: str = ""
    quick: bool = False


@dataclass(frozen=True)
class NetworkResult:
    """What one case gave.

    Attributes:
        predicted: cycles per frame by the folding.
        measured: cycles per frame in the simulation.
        latency: cycles of the first frame.
        lut, lut_cells, ff, bram36, dsp: Yosys, whole stitched design with FIFOs.
        fold_seconds, build_seconds, simulated_fps: wall-clock.
    """

    predicted: int
    measured: float
    latency: int
    lut: int
    lut_cells: int
    ff: int
    bram36: float
    dsp: int
    fold_seconds: float
    build_seconds: float
    simulated_fps: float


def random_network(config: NetworkConfig) -> IntegerNetwork:
    """The integers of the network with random weights."""
    torch.manual_seed(0)
    network = build_network(config)
    x = torch.rand(8, *network.input_shape)
    for _ in range(MEASUREMENTS):
        network(x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{config.name}.onnx"
        export_qonnx(network.eval(), x[:1], path)
        return lower(path)


def run_case(case: NetworkCase) -> NetworkResult:
    """Compile, simulate bit-exactly, synthesize.

    Raises:
        AssertionError: if a simulated integer differs from the reference.
    """
    network = random_network(case.config)
    start = time.perf_counter()
    layers = {node.name for node in network.nodes}
    folded = fold(map_network(network), BOARD, case.fps, fill=case.fill, any_form=layers)
    fold_seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "rtl").mkdir()
        generate(folded.model, network, BOARD, directory / "rtl")
        start = time.perf_counter()
        library = build_simulator(directory / "rtl", directory)
        build_seconds = time.perf_counter() - start
        rng = np.random.default_rng(0)
        levels = len(network.quantizer.boundaries) + 1
        codes = network.quantizer.low + network.quantizer.step * rng.integers(
            0, levels, (case.frames, *network.input_tensor.shape)
        )
        accelerator = SimulatedAccelerator(directory / "rtl", library, network)
        start = time.perf_counter()
        run = accelerator.run_codes(codes)
        seconds = time.perf_counter() - start
        expected = run_codes(network, codes)[network.output]
        assert np.array_equal(run.outputs, expected), f"{case.name}: simulation differs"
        total = estimate(directory / "rtl", BOARD).total
    assert run.initiation_interval is not None
    return NetworkResult(
        predicted=folded.cycles_per_frame,
        measured=run.initiation_interval,
        latency=run.latency,
        lut=total.lut,
        lut_cells=total.lut_cells,
        ff=total.ff,
        bram36=total.bram36,
        dsp=total.dsp,
        fold_seconds=fold_seconds,
        build_seconds=build_seconds,
        simulated_fps=case.frames / seconds,
    )


def network_rows(
    names: Sequence[str] = (), *, quick: bool = False
) -> Iterator[tuple[str, str, float, str, str]]:
    """(case, metric, value, unit, against) of the named cases, or of all."""
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        raise SystemExit(f"unknown cases {sorted(unknown)}; there are {[c.name for c in CASES]}")
    for case in CASES:
        if (names and case.name not in names) or (quick and not case.quick):
            continue
        result = run_case(case)
        clock = BOARD.clock_mhz * 1e6
        predicted = f"{result.predicted} predicted"
        yield case.name, "cycles_per_frame", result.measured, "cycles", predicted
        yield case.name, "frames_per_second", clock / result.measured, "frames/s", case.against
        yield case.name, "latency", result.latency, "cycles", ""
        yield case.name, "luts", result.lut, "LUT", f"{result.lut_cells} LUT cells"
        yield case.name, "flip_flops", result.ff, "FF", ""
        yield case.name, "bram36", result.bram36, "BRAM", ""
        yield case.name, "dsps", result.dsp, "DSP", ""
        yield case.name, "fold_seconds", result.fold_seconds, "s", ""
        yield case.name, "simulator_build_seconds", result.build_seconds, "s", "wall-clock"
        yield case.name, "simulated_frames_per_second", result.simulated_fps, "frames/s", ""


def _config(name: str, weights: str, bits: int, granularity: str = "layer") -> NetworkConfig:
    return NetworkConfig.model_validate(
        {"name": name, "weights": weights, "activation_bits": bits, "granularity": granularity}
    )


_CNV_PUBLISHED = "FINN 3,020 with 21,135 LUT, 98 BRAM36 (Pynq-Z1, 100 MHz)"
CASES = (
    NetworkCase("cnv-w1a1-fill", _config("cnv", "binary", 1), fill=0.8, against=_CNV_PUBLISHED),
    NetworkCase("cnv-w1a1-3020", _config("cnv", "binary", 1), fps=3020, against=_CNV_PUBLISHED),
    NetworkCase(
        "cnv-w1a2-fill",
        _config("cnv", "binary", 2),
        fill=0.8,
        against="BNN-PYNQ 3,051 with 40,321 LUT, 131.5 BRAM36 (whole design)",
    ),
    NetworkCase(
        "cnv-wTa2-pixel-fill",
        _config("cnv", "ternary", 2, "pixel"),
        fill=0.8,
        against="no published system has scales per kernel position",
    ),
    NetworkCase("resnet20-wTa2-pixel", _config("resnet20", "ternary", 2, "pixel"), fill=0.8),
    NetworkCase("vgg-small-w1a1", _config("vgg_small", "binary", 1), fps=500, frames=4),
    NetworkCase("lenet5-wTa2-pixel", _config("lenet5", "ternary", 2, "pixel"), fps=10_000),
    NetworkCase("signal-cnn-wTa2", _config("signal_cnn", "ternary", 2), fps=20_000, quick=True),
    NetworkCase(
        "tfc-w1a1",
        _config("tfc", "binary", 1),
        fps=1_000_000,
        frames=200,
        against="FINN 837,019 (Pynq, 100 MHz, with the host)",
        quick=True,
    ),
    NetworkCase("sfc-w1a1", _config("sfc", "binary", 1), fps=200_000, frames=50),
    NetworkCase(
        "lfc-w1a1",
        _config("lfc", "binary", 1),
        fps=119_000,
        frames=20,
        against="BNN-PYNQ 119,000 with 28,360 LUT, 110 BRAM36 (whole design)",
    ),
)
