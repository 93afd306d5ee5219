# SPDX-License-Identifier: Apache-2.0
"""Iterative retraining (Lee & Kim, arXiv 1805.11233): quantize, train in full precision, again.

    for each round:    weights := Q(weights); train them as floats, pruned ones stay 0
    deploy Q(weights)

Each round has a new optimizer. After each epoch Q is applied to a copy, so that networks are
evaluated as they would be deployed; the progress bar shows the relative error of Q,
||weights - Q(weights)||² / ||weights||². A last epoch trains all but the quantized weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from qdeploy.quantizers.bits import quantized_layers
from qdeploy.quantizers.config import RetrainingConfig
from qdeploy.quantizers.multibit.quantizer import MultibitQuantizer
from qdeploy.training.config import TrainingConfig
from qdeploy.training.phases import Phase


def retraining_phases(
    quantization: RetrainingConfig,
    training: TrainingConfig,
    algorithm: Callable[[list[nn.Parameter], float], Optimizer] = Adam,
) -> tuple[Phase, ...]:
    """Rounds of about `training.epochs` epochs, and one for the parameters that stay real.

    The learning rate decides whether weights leave the codes they start from: with small ones the
    error of Q hardly falls.

    Args:
        quantization: table [quantization].
        training: table [training].
        algorithm: makes the optimizer of parameters at a learning rate.
    """
    learning_rate, augmented = training.learning_rate, training.augmentation == "both"
    share = max(1, round(training.epochs / quantization.rounds))

    def optimizer(network: nn.Module) -> Optimizer:
        return algorithm(list(network.parameters()), learning_rate)

    def others(network: nn.Module) -> Optimizer:
        weights = {id(layer.weight) for _, layer, _ in quantized_layers(network)}
        scales = {id(quantizer.scales) for quantizer in _quantizers(network)}
        real = [p for p in network.parameters() if id(p) not in weights | scales]
        return algorithm(real, learning_rate)

    trained = [
        Phase(
            name=f"round {number + 1}",
            epochs=share,
            optimizer=optimizer,
            begin=_begin,
            after_epoch=_requantize,
            note=_error,
            augmented=augmented,
        )
        for number in range(quantization.rounds)
    ]
    rest = Phase(name="rest", epochs=1, optimizer=others, begin=_deploy, augmented=augmented)
    return (*trained, rest)


@torch.no_grad()
def _begin(network: nn.Module) -> None:
    """Start from the quantized weights."""
    _deploy(network)
    for quantizer in _quantizers(network):
        quantizer.retraining.fill_(True)


@torch.no_grad()
def _deploy(network: nn.Module) -> None:
    for _, layer, quantizer in quantized_layers(network):
        if isinstance(quantizer, MultibitQuantizer):
            quantizer.initialise(layer.weight)
            quantizer.retraining.fill_(False)
            layer.weight.copy_(quantizer.values())


def _requantize(network: nn.Module) -> None:
    for _, layer, quantizer in quantized_layers(network):
        if isinstance(quantizer, MultibitQuantizer):
            quantizer.requantize(layer.weight)


@torch.no_grad()
def _error(network: nn.Module) -> str:
    """Of Q, over all layers."""
    errors, squares = 0.0, 0.0
    for _, layer, quantizer in quantized_layers(network):
        if isinstance(quantizer, MultibitQuantizer):
            weights = layer.weight * quantizer.groups.joined(quantizer.kept)
            errors += float((weights - quantizer.values()).square().sum())
            squares += float(weights.square().sum())
    return f"error {errors / squares:.4f}" if squares else ""


def _quantizers(network: nn.Module) -> list[MultibitQuantizer]:
    return [q for _, _, q in quantized_layers(network) if isinstance(q, MultibitQuantizer)]
