# SPDX-License-Identifier: Apache-2.0
"""Whole accelerators on a PYNQ-Z2: folded by the solver, simulated in Verilator, sized by Yosys.

Networks that others trained get the samples of their test sets. Weights of ours are random
(thresholds come from batch statistics of random images), and so are their frames: cycles, resources
and equality do not depend on training. Part of benchmarks/fpga.py.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np
import torch
from third_party import MODELS

from qdeploy.exporter import export_qonnx
from qdeploy.fpga.board import load_board
from qdeploy.fpga.estimation import estimate
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import (
    Builder,
    Convolution,
    IntegerNetwork,
    Integers,
    Linear,
    Plane,
    Threshold,
    Weights,
    run_codes,
)
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.networks.config import NetworkName
from qdeploy.quantizers.config import SyqConfig
from qdeploy.quantizers.quantize import quantize

BOARD = load_board("pynq-z2")
MEASUREMENTS = 8  # passes that settle the batch statistics
TRAINED = {model.file: model for model in MODELS}
SECOND_PLANE = 91  # multipliers of the second plane are less, those of the first twice as large


@dataclass(frozen=True)
class RandomNetwork:
    """One of our networks with random weights.

    Attributes:
        name: of `qdeploy.networks`.
        weights: "binary" or "ternary".
        activations: bits.
        granularity: of scales.
    """

    name: NetworkName
    weights: Literal["binary", "ternary"]
    activations: int
    granularity: Literal["layer", "pixel"] = "layer"

    def make(self) -> IntegerNetwork:
        """Its integers."""
        torch.manual_seed(0)
        plain = build_network(NetworkConfig(name=self.name))
        config = SyqConfig(
            weights=self.weights, granularity=self.granularity, activations=self.activations
        )
        network = quantize(plain, config)
        x = torch.rand(8, *network.input_shape)
        for _ in range(MEASUREMENTS):
            network(x)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.name}.onnx"
            export_qonnx(network.eval(), x[:1], path)
            return lower(path)


@dataclass(frozen=True)
class NetworkCase:
    """A network at one aim.

    Attributes:
        name: of the row.
        network: one of ours, or a file of benchmarks/third_party.py.
        fps: frames per second to reach with as little of the board as possible, or
        fill: share of each resource of the board that may be used, as fast as possible.
        frames: simulated.
        planes: of the weights, 1 or 2.
        quick: whether a quick run includes it.
    """

    name: str
    network: RandomNetwork | str
    fps: float | None = None
    fill: float = 1.0
    frames: int = 8
    planes: int = 1
    quick: bool = False


def trained_network(file: str) -> tuple[IntegerNetwork, Integers]:
    """A network that others trained, and its test samples as integers."""
    data = Path(os.environ.get("QDEPLOY_DATA", ""))
    path = data.parent / "models" / f"{file}.onnx"
    if not path.is_file():
        raise SystemExit("set QDEPLOY_DATA to the data sets, beside the folder 'models'")
    network = lower(path)
    samples, _ = TRAINED[file].data(data)
    return network, network.quantizer.quantize(samples)


def two_planes(network: IntegerNetwork) -> IntegerNetwork:
    """The same layers with weights of two planes, multipliers of kernel positions in both."""
    rng = np.random.default_rng(0)
    builder = Builder()
    x = network.input_tensor
    builder.input(x.name, x.shape, x.range, x.meaning.scale[0])
    for node in network.nodes:
        changed = node
        if isinstance(node, (Convolution, Linear)):
            (plane,) = node.weights.planes
            multipliers = rng.integers(1, SECOND_PLANE, (1, 1, *plane.codes.shape[2:]))
            second = Plane(rng.permuted(plane.codes, axis=1), multipliers)
            first = Plane(plane.codes, 2 * multipliers)
            changed = replace(node, weights=Weights((first, second)))
        elif isinstance(node, Threshold):
            changed = replace(node, thresholds=SECOND_PLANE * node.thresholds)
        builder.add(changed, network.tensors[node.output].meaning)
    return builder.network(
        name=f"{network.name}_two_planes",
        quantizer=network.quantizer,
        input_name=network.input_name,
        output_name=network.output_name,
    )


def contents(case: NetworkCase) -> tuple[IntegerNetwork, Integers]:
    """The integers of a case and the frames to simulate, as integers [N, ...]."""
    if isinstance(case.network, str):
        network, codes = trained_network(case.network)
        return network, codes[: case.frames]
    network = case.network.make()
    if case.planes == 2:
        network = two_planes(network)
    levels = len(network.quantizer.boundaries) + 1
    shape = (case.frames, *network.input_tensor.shape)
    codes = np.random.default_rng(0).integers(0, levels, shape)
    return network, network.quantizer.low + network.quantizer.step * codes


def cpu_seconds() -> float:
    """Of this process and the ended ones that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def case_rows(case: NetworkCase) -> Iterator[tuple[str, float, str, str]]:
    """(metric, value, unit, against) of one case: compile, simulate bit-exactly, synthesize.

    Raises:
        AssertionError: if a simulated integer differs from the reference, or a node is HLS.
    """
    network, codes = contents(case)
    start = cpu_seconds()
    layers = {node.name for node in network.nodes}
    folded = fold(map_network(network), BOARD, case.fps, fill=case.fill, any_form=layers)
    fold_seconds = cpu_seconds() - start
    record, predicted = folded.record, folded.record.predicted
    finn = f"{record.finn_cycles} cycles, {record.finn_predicted.lut:.0f} LUT by FINN's folding"
    assert all(node.op_type.endswith("_rtl") for node in folded.model.graph.node)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "rtl").mkdir()
        generate(folded.model, network, BOARD, directory / "rtl")
        start = cpu_seconds()
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=folder):  # nothing is compiled there yet
            library = build_simulator(directory / "rtl", directory)
        build_seconds = cpu_seconds() - start
        accelerator = SimulatedAccelerator(directory / "rtl", library, network)
        begin = time.perf_counter()
        run = accelerator.run_codes(codes)
        seconds = time.perf_counter() - begin
        expected = run_codes(network, codes)[network.output]
        assert np.array_equal(run.outputs, expected), f"{case.name}: simulation differs"
        assert run.initiation_interval is not None
        interval, clock = run.initiation_interval, BOARD.clock_mhz * 1e6
        yield "cycles_per_frame", interval, "cycles", f"{folded.cycles_per_frame} predicted"
        yield "frames_per_second", clock / interval, "frames/s", finn
        yield "latency", run.latency, "cycles", f"{len(codes)} frames, all equal"
        yield "model_luts", round(predicted.lut), "LUT", record.proof()
        yield "model_flip_flops", round(predicted.ff), "FF", ""
        yield "model_bram36", predicted.bram36, "BRAM", ""
        yield "model_dsps", round(predicted.dsp), "DSP", ""
        yield "fold_seconds", fold_seconds, "s", "CPU"
        yield "simulator_build_seconds", build_seconds, "s", "CPU"
        yield "simulated_frames_per_second", len(codes) / seconds, "frames/s", "wall-clock"
        used = estimate(directory / "rtl", BOARD).total
    yield "luts", used.lut, "LUT", f"{used.lut_cells} LUT cells"
    yield "flip_flops", used.ff, "FF", ""
    yield "bram36", used.bram36, "BRAM", ""
    yield "dsps", used.dsp, "DSP", ""


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
        for row in case_rows(case):
            yield case.name, *row


CASES = (
    NetworkCase("cnv-w1a1-fill", RandomNetwork("cnv", "binary", 1), fill=0.8),
    NetworkCase("cnv-w1a1-3020", RandomNetwork("cnv", "binary", 1), fps=3020),
    NetworkCase("cnv-w1a2-fill", RandomNetwork("cnv", "binary", 2), fill=0.8),
    NetworkCase("cnv-wTa2-pixel-fill", RandomNetwork("cnv", "ternary", 2, "pixel"), fill=0.8),
    NetworkCase("resnet20-wTa2-pixel", RandomNetwork("resnet20", "ternary", 2, "pixel"), fill=0.8),
    NetworkCase("vgg-small-w1a1", RandomNetwork("vgg_small", "binary", 1), fps=500, frames=4),
    NetworkCase("lenet5-wTa2-pixel", RandomNetwork("lenet5", "ternary", 2, "pixel"), fps=10_000),
    NetworkCase(
        "digits-cnn-wTa2-pixel", RandomNetwork("digits_cnn", "ternary", 2, "pixel"), fps=80_000
    ),
    NetworkCase(
        "digits-cnn-two-planes",
        RandomNetwork("digits_cnn", "binary", 2, "pixel"),
        fps=80_000,
        frames=100,
        planes=2,
    ),
    NetworkCase(
        "signal-cnn-wTa2", RandomNetwork("signal_cnn", "ternary", 2), fps=20_000, quick=True
    ),
    NetworkCase("tfc-w1a1", "tfc_1w1a", fps=1_000_000, frames=10_000),
    NetworkCase("tfc-w2a2", "tfc_2w2a", fps=1_000_000, frames=10_000),
    NetworkCase("sfc-w1a1", RandomNetwork("sfc", "binary", 1), fps=200_000, frames=50, quick=True),
    NetworkCase("lfc-w1a1", RandomNetwork("lfc", "binary", 1), fps=119_000, frames=20),
    NetworkCase("kws-mlp-w3a3", "kws_mlp_w3a3", fps=247_502, frames=1_000),
)
