# SPDX-License-Identifier: Apache-2.0
"""The networks of `qdeploy.networks` as accelerators: Verilog only, integers of the reference."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from quantized_networks import quantized_network
from third_party import mnist_test, models_directory

from qdeploy.exporter import export_qonnx
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower

BOARD = load_board("pynq-z2")


@dataclass
class Case:
    """A network, how fast it shall be, and how many random frames it is given."""

    name: str
    bits: int
    fps: float
    frames: int
    weights: str = "binary"
    channels: tuple[int, ...] | None = None


CASES = (
    Case("digits_cnn", 2, 50_000, 100, "ternary"),
    Case("tfc", 1, 100_000, 200),
    Case("sfc", 1, 20_000, 50),
    Case("lfc", 1, 2_000, 10, channels=(512, 512, 512)),
    Case("lenet5", 2, 2_000, 10, "ternary"),
    Case("signal_cnn", 2, 2_000, 10, "ternary"),
    Case("vgg_small", 1, 500, 4, channels=(16, 24, 32)),
    Case("cnv", 1, 3_000, 4),
    Case("resnet20", 2, 1_000, 4, "ternary"),
)


def trained_nowhere(case: Case, folder: Path) -> IntegerNetwork:
    """Random weights; thresholds from the statistics of random images."""
    torch.manual_seed(1)
    network = quantized_network(
        case.name, case.channels, weights=case.weights, activations=case.bits
    )
    x = torch.rand(8, *network.input_shape)
    for _ in range(8):
        network(x)
    export_qonnx(network.eval(), x[:1], folder / "net.onnx")
    return lower(folder / "net.onnx")


def accelerator(network: IntegerNetwork, fps: float, folder: Path) -> SimulatedAccelerator:
    """Compiled for a PYNQ-Z2, with no layer left to HLS."""
    folded = fold(map_network(network), BOARD, fps)
    assert all(node.op_type.endswith("_rtl") for node in folded.model.graph.node)
    assert folded.cycles_per_frame <= BOARD.clock_mhz * 1e6 / fps
    (folder / "rtl").mkdir()
    generate(folded.model, network, BOARD, folder / "rtl")
    return SimulatedAccelerator(folder / "rtl", build_simulator(folder / "rtl", folder), network)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_integers_of_the_reference_in_time_at_full_speed_and_with_pauses_of_a_frame(
    case: Case, tmp_path: Path
) -> None:
    network = trained_nowhere(case, tmp_path)
    x = np.random.default_rng(2).random((case.frames, *network.input_tensor.shape), np.float32)
    expected = run(network, x)
    assert len(np.unique(expected, axis=0)) > 1
    device = accelerator(network, case.fps, tmp_path)
    codes, cycles = network.quantizer.quantize(x), device.design.cycles_per_frame
    full = device.run_codes(codes)
    assert np.array_equal(full.outputs, expected)
    assert not full.slowed_by
    paused = device.run_codes(
        codes, input_gap=1 / cycles, output_stall=1 / cycles, burst=cycles, seed=3
    )
    assert np.array_equal(paused.outputs, expected)
    assert paused.paused >= cycles
    assert not paused.slowed_by


@pytest.mark.slow
def test_the_accelerator_of_others_weights_classifies_the_whole_test_set(tmp_path: Path) -> None:
    network = lower(models_directory() / "tfc_2w2a.onnx")
    images, labels = mnist_test()
    logits = accelerator(network, 1_000_000, tmp_path).run_integers(images)
    assert (logits.argmax(axis=1) == labels).sum() == 9660
