# SPDX-License-Identifier: Apache-2.0
"""ALQ on the real images: fewer bits in every round, below one in the end, and integers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from multibit_training import TRAINING, checked_file, fitted, float_network, twin
from torch.nn import BatchNorm2d

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


def quantizers(network):
    return [quantizer for _, _, quantizer in quantized_layers(network)]


def bases_left(network) -> int:
    return sum(int((q.scales > 0).sum()) for q in quantizers(network))


def means(network) -> torch.Tensor:
    layers = [m for m in network.modules() if isinstance(m, BatchNorm2d)]
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


def test_bases_are_removed_in_equal_shares(start):
    network, phases = twin(start, method="alq", bits=3, rounds=1, pruning=1.5, fine_tuning=False)
    counts = []

    def watched(phase):
        def begin(network):
            phase.begin(network)
            counts.append(bases_left(network))

        def after_step(network, optimizer, done):
            phase.after_step(network, optimizer, done)
            counts.append(bases_left(network))

        return replace(phase, begin=begin, after_step=after_step)

    assert phases[-1].name == "prune"
    fitted(network, (*phases[:-1], watched(phases[-1])))
    steps = 640 // TRAINING.batch_size
    assert counts == [round(counts[0] * math.exp(-1.5 * i / steps)) for i in range(steps + 1)]


def test_scales_start_from_the_moments_of_the_codes_they_belong_to(start):
    network, phases = twin(start, method="alq", bits=2, rounds=1, pruning=0.7)
    first, last = {}, {}

    def copies(network, optimizer):
        states = [optimizer.state[quantizer.scales] for quantizer in quantizers(network)]
        return [{name: value.clone() for name, value in state.items()} for state in states]

    def watched(index, phase):
        def optimizer(network):
            made = phase.optimizer(network)
            first[index] = copies(network, made)
            return made

        def after_step(network, optimizer, done):
            phase.after_step(network, optimizer, done)
            last[index] = copies(network, optimizer)

        return replace(phase, optimizer=optimizer, after_step=after_step)

    fitted(network, tuple(watched(*numbered) for numbered in enumerate(phases)))
    names = [phase.name for phase in phases]
    assert names == ["bases", "coordinates", "prune", "fine-tuning", "coordinates"]
    assert all(first[1])
    for left, taken in zip(last[1], first[2], strict=True):
        for name in ("step", "exp_avg", "max_exp_avg_sq"):
            assert torch.equal(left[name], taken[name])
    assert not any(first[4])  # fine-tuning chose other codes


def test_few_epochs_end_with_measured_statistics(start):
    """The last phase has no epochs then."""
    training = TRAINING.model_copy(update={"epochs": 2})
    network, phases = twin(start, training, method="alq", bits=2, rounds=1)
    assert phases[-1].epochs == 0
    fitted(network, phases)
    batches = [m.num_batches_tracked for m in network.modules() if isinstance(m, BatchNorm2d)]
    assert batches == [640 // TRAINING.batch_size] * 2


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
