# SPDX-License-Identifier: Apache-2.0
"""ALQ on the real images: fewer bits in every round, below one in the end, and integers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from multibit_training import checked_file, fitted, float_network, twin

from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import run
from qdeploy.quantizers.bits import average_bits, quantized_layers
from qdeploy.training import datasets

BOARD = load_board("pynq-z2")
ROUNDS, PRUNING = 3, 0.7


@pytest.fixture(scope="module")
def start():
    torch.manual_seed(0)
    return float_network((4, 6))


def bases_left(network) -> int:
    return sum(int((q.scales > 0).sum()) for _, _, q in quantized_layers(network))


def means(network) -> torch.Tensor:
    layers = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return torch.cat([layer.running_mean for layer in layers]).clone()


@pytest.fixture(scope="module")
def trained(start):
    """The network, and what was seen behind each epoch."""
    network, phases = twin(
        start,
        method="alq",
        structure="pixelwise",
        pieces=4,
        rounds=ROUNDS,
        pruning=PRUNING,
        activation_levels="multibit",
    )
    seen = []

    def watched(phase):
        def begin(network):
            phase.begin(network)
            seen.append((f"{phase.name} begins", bases_left(network), means(network)))

        def after_epoch(network):
            phase.after_epoch(network)
            seen.append((phase.name, bases_left(network), means(network)))

        return replace(phase, begin=begin, after_epoch=after_epoch)

    history = fitted(network, tuple(map(watched, phases)))
    return network, seen, history


def test_each_round_leaves_its_share_of_the_bases(trained):
    _, seen, _ = trained
    before = [count for name, count, _ in seen if name == "prune begins"]
    after = [count for name, count, _ in seen if name == "prune"]
    assert after == [round(count * math.exp(-PRUNING)) for count in before]
    counts = [count for _, count, _ in seen]
    assert counts == sorted(counts, reverse=True)


def test_batch_normalization_learns_while_bases_are_pruned(trained):
    """The published code had it in evaluation mode then."""
    _, seen, _ = trained
    before = [mean for name, _, mean in seen if name == "prune begins"]
    after = [mean for name, _, mean in seen if name == "prune"]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_below_one_bit_and_in_integers_on_both_back_ends(trained, tmp_path):
    network, _, history = trained
    assert average_bits(network) < 1
    assert history[-1].metric > 0.3
    integers = checked_file(network, tmp_path)
    assert any(len(node.weights.planes) > 1 for node in integers.nodes if hasattr(node, "weights"))
    folded = fold(map_network(integers), BOARD, 10_000)
    generate(folded.model, integers, BOARD, tmp_path)
    accelerator = SimulatedAccelerator(tmp_path, build_simulator(tmp_path, tmp_path), integers)
    x = datasets.load("digits").x_test[:4]
    assert np.array_equal(accelerator.run_integers(x), run(integers, x))
