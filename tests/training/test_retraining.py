# SPDX-License-Identifier: Apache-2.0
"""Iterative retraining on the real images, from floats to integers."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from multibit_training import TRAINING, checked_file, fitted, float_network, twin

from qdeploy.quantizers.bits import average_bits, quantized_layers

ROUNDS = 4


@pytest.fixture(scope="module")
def start():
    torch.manual_seed(0)
    return float_network((6, 8))


def relative_error(network) -> float:
    """Squared error of Q relative to the weights, while they are float."""
    errors, squares = 0.0, 0.0
    for _, layer, quantizer in quantized_layers(network):
        kept = quantizer.groups.joined(quantizer.kept)
        weights = layer.weight.detach() * kept
        errors += float((weights - quantizer.values()).square().sum())
        squares += float(weights.square().sum())
    return errors / squares


def trained(start, training=TRAINING, rounds=ROUNDS, **values):
    """The network, and the errors of Q and optimizers of its rounds."""
    network, phases = twin(start, training, method="retraining", rounds=max(1, rounds), **values)
    errors, optimizers = [], []

    def watched(phase):
        def after_epoch(network):
            phase.after_epoch(network)
            errors.append(relative_error(network))
            assert phase.note(network) == f"error {errors[-1]:.4f}"

        def after_step(network, optimizer, done):
            optimizers.append(optimizer)

        return replace(phase, after_epoch=after_epoch, after_step=after_step)

    history = fitted(network, tuple(map(watched, phases[:rounds])) + phases[-1:])
    return network, errors, optimizers, history


def test_the_error_of_quantization_falls_over_the_rounds(start, tmp_path):
    network, errors, optimizers, history = trained(start, bits=2)
    assert errors[-1] < 0.8 * errors[1]
    assert history[-1].metric > 0.85
    assert len({id(optimizer) for optimizer in optimizers}) == ROUNDS
    assert average_bits(network) == 2.0
    integers = checked_file(network, tmp_path)
    assert [len(n.weights.planes) for n in integers.nodes if hasattr(n, "weights")] == [2, 2, 2]


def test_pruned_weights_stay_pruned(start, tmp_path):
    network, _, _, history = trained(start, bits=1, pruned=0.6)
    for name, layer, quantizer in quantized_layers(network):
        weights = start.get_submodule(name).weight.detach()
        kept = quantizer.groups.joined(quantizer.kept)
        assert float(kept.float().mean()) == pytest.approx(0.4, abs=0.02)
        assert weights[kept].abs().min() >= weights[~kept].abs().max()
        assert torch.equal(layer.weight != 0, kept)
        assert torch.equal(layer.quant_weight().value != 0, kept)
    assert history[-1].metric > 0.5
    assert average_bits(network) == pytest.approx(1.4, abs=0.01)
    integers = checked_file(network, tmp_path)
    kinds = [n.weights.planes[0].kind for n in integers.nodes if hasattr(n, "weights")]
    assert kinds == ["ternary"] * 3


@pytest.fixture(scope="module")
def one_bit():
    """Errors of Q of each round and accuracy in the end, for two networks."""

    @cache
    def results(rounds=8, learning_rate=0.03, pruned=0.0):
        training = TRAINING.model_copy(
            update={"epochs": max(1, rounds), "learning_rate": learning_rate}
        )
        found = [
            trained(start, training, rounds, bits=1, pruned=pruned, activations=None)
            for start in starts
        ]
        return [errors for _, errors, _, _ in found], np.mean([h[-1].metric for *_, h in found])

    starts = []
    for seed in range(2):
        torch.manual_seed(seed)
        starts.append(float_network((6, 8)))
    return results


def test_error_falls_and_accuracy_rises_over_the_rounds(one_bit):
    (_, at_once), (errors, accuracy) = one_bit(rounds=0), one_bit()
    assert accuracy > at_once + 0.1
    for error in errors:
        assert error[-1] < 0.7 * error[0]


def test_a_small_learning_rate_does_not_leave_the_codes(one_bit):
    """There is no error then, but no better codes are found either."""
    (slow_errors, slow), (errors, accuracy) = one_bit(learning_rate=0.001), one_bit()
    assert accuracy > slow + 0.1
    for error, slow_error in zip(errors, slow_errors, strict=True):
        assert slow_error[0] < 0.1 * error[0]


def test_what_pruning_leaves_suits_one_bit(one_bit):
    """Magnitudes that are left are alike. Whether fewer weights are more accurate is luck here."""
    (errors, _), (pruned_errors, accuracy) = one_bit(), one_bit(pruned=0.5)
    assert accuracy > 0.6
    for error, pruned in zip(errors, pruned_errors, strict=True):
        assert pruned[0] < 0.7 * error[0]
