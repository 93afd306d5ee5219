# SPDX-License-Identifier: Apache-2.0
"""Loss-aware networks from training to integers, on the CPU and in the simulated accelerator."""

import numpy as np
import onnx
import pytest
import torch
from comparison import compare
from torch import nn

from qdeploy.cpu import Session, pack
from qdeploy.exporter import export, export_qonnx
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig
from qdeploy.quantizers import LossAwareAdam
from qdeploy.quantizers.config import quantization_config
from qdeploy.quantizers.quantize import quantize
from qdeploy.training import datasets, predict, train
from qdeploy.training.config import DataConfig, TrainingConfig

# Options, kinds of the planes that the integer network has
CASES = {
    "binary": ({"weights": "binary"}, ["binary"]),
    "ternary": ({"weights": "ternary"}, ["ternary"]),
    "two-scale": ({"weights": "two-scale", "solver": "exact"}, ["ternary", "ternary"]),
    "linear-5": ({"weights": "linear", "bits": 5, "scale_rule": "l1"}, ["int5"]),
    "logarithmic-3": ({"weights": "logarithmic"}, ["int4"]),
    "logarithmic-5": ({"weights": "logarithmic", "bits": 5}, ["int16"]),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_rationals_integers_and_cpu_agree(name, tmp_path):
    """After some steps of training; the float module says the same."""
    options, kinds = CASES[name]
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Flatten(), nn.Linear(45, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(),
        nn.Linear(12, 4, bias=False),
    )  # fmt: skip
    network = quantize(plain, quantization_config(method="laq", **options))
    optimizer = LossAwareAdam(network, lr=0.01)
    x = torch.rand(32, 2, 5, 5)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), torch.arange(32) % 4).backward()
        optimizer.step()
    export_qonnx(network, x[:1], tmp_path / "exported.onnx")
    integers = compare(onnx.load(tmp_path / "exported.onnx"), tmp_path)
    planes = [
        node.weights.planes for node in integers.nodes if getattr(node, "weights", None) is not None
    ]
    assert len(planes) == 3
    for plane in planes[1:]:  # the convolution's few weights need not take every level
        assert [p.kind for p in plane] == kinds
    with torch.no_grad():
        wanted = network.eval()(x).numpy()
    outputs = integers.real_output(run(integers, x.numpy()))
    assert np.allclose(outputs, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.fixture(scope="module")
def two_scale(tmp_path_factory):
    """A small digits network after a few epochs, its file and its integers."""
    directory = tmp_path_factory.mktemp("two-scale")
    result = train(
        DataConfig(),
        NetworkConfig(channels=(6, 8)),
        quantization_config(method="laq", weights="two-scale"),
        TrainingConfig(float_epochs=3, epochs=4),
        directory,
    )
    export(result.checkpoint, directory / "network.onnx")
    return directory, result, lower(directory / "network.onnx")


def test_a_trained_network_runs_on_the_cpu(two_scale):
    directory, result, network = two_scale
    assert result.accuracy > 0.85
    assert result.average_bits == 2
    digits = datasets.load("digits")
    integers = run(network, digits.x_test)
    assert np.mean(integers.argmax(axis=1) == digits.y_test) == result.accuracy
    pack(network, directory / "cpu.onnx")
    session = Session(directory / "cpu.onnx", threads=1)
    assert np.array_equal(session.run_integers(digits.x_test), integers)
    logits = predict(result.checkpoint, digits.x_test)
    assert np.array_equal(logits.argmax(axis=1), integers.argmax(axis=1))


@pytest.mark.slow
def test_a_trained_network_runs_in_the_accelerator(two_scale):
    directory, _, network = two_scale
    board = load_board("pynq-z2")
    folded = fold(map_network(network), board, 2000.0)
    generate(folded.model, network, board, directory)
    accelerator = SimulatedAccelerator(directory, build_simulator(directory, directory), network)
    images = datasets.load("digits").x_test[:12]
    assert np.array_equal(accelerator.run_integers(images), run(network, images))
