# SPDX-License-Identifier: Apache-2.0
"""Phases of learned bit widths: search them under a budget, round them, train on."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from qdeploy.quantizers.config import FractionalBitsConfig
from qdeploy.quantizers.fractional_bits.solvers import (
    LEAST_BITS,
    MOST_BITS,
    interpolated_cost,
    rounded_bits,
    uniform_bits,
)
from qdeploy.training.budgets import fractional_layers, layer_costs
from qdeploy.training.config import TrainingConfig
from qdeploy.training.phases import Phase, adam

BITS_LEARNING_RATE = 1e-2
# Loss in nats that a budget exceeded by 1 % is worth.
STRENGTH = 0.1


class Search:
    """The costs of the network's layers, found once."""

    def __init__(self, config: FractionalBitsConfig) -> None:
        self.config = config
        self.costs: Tensor | None = None
        self.budget = 0.0

    def begin(self, network: nn.Module) -> None:
        """Find the costs; all layers start with the width that the budget would allow them all."""
        start = uniform_bits(self._costs(network), self.budget)
        for quantizer in fractional_layers(network).values():
            quantizer.bits.data.fill_(start)

    def penalty(self, network: nn.Module) -> Tensor:
        """What is beyond the budget."""
        bits = self._bits(network)
        costs = self._costs(network).to(bits.device)
        excess = interpolated_cost(bits, costs) / self.budget - 1
        return 100 * STRENGTH * excess.clamp(min=0)

    def round(self, network: nn.Module) -> None:
        """Whole widths within the budget."""
        widths = rounded_bits(self._bits(network).tolist(), self._costs(network), self.budget)
        for quantizer, width in zip(fractional_layers(network).values(), widths, strict=True):
            quantizer.bits.data.fill_(width)

    def _bits(self, network: nn.Module) -> Tensor:
        return torch.stack([quantizer.bits for quantizer in fractional_layers(network).values()])

    def _costs(self, network: nn.Module) -> Tensor:
        if self.costs is None:
            example = torch.zeros(1, *network.input_shape)  # type: ignore[misc]
            self.costs, self.budget = layer_costs(network, self.config, example)
        return self.costs


def fractional_bits_phases(
    config: FractionalBitsConfig, training: TrainingConfig
) -> tuple[Phase, ...]:
    """Two phases; the second starts with whole widths."""
    search = Search(config)
    epochs = max(1, round(config.search * training.epochs))
    augmented = training.augmentation == "both"
    return (
        Phase(
            name="search",
            epochs=epochs,
            optimizer=partial(_optimizer, learning_rate=training.learning_rate),
            schedule=lambda done: 1.0,
            begin=search.begin,
            penalty=search.penalty,
            after_step=_clamp,
            augmented=augmented,
        ),
        Phase(
            name="fine-tune",
            epochs=max(1, training.epochs - epochs),
            optimizer=partial(_with_fixed_bits, learning_rate=training.learning_rate),
            begin=search.round,
            augmented=augmented,
        ),
    )


def _optimizer(network: nn.Module, learning_rate: float) -> Adam:
    bits = [quantizer.bits for quantizer in fractional_layers(network).values()]
    chosen = {id(parameter) for parameter in bits}
    others = [p for p in network.parameters() if id(p) not in chosen]
    return Adam(
        [{"params": others, "lr": learning_rate}, {"params": bits, "lr": BITS_LEARNING_RATE}]
    )


def _with_fixed_bits(network: nn.Module, learning_rate: float) -> Adam:
    for quantizer in fractional_layers(network).values():
        quantizer.bits.requires_grad_(False)
    return adam(network, learning_rate)


def _clamp(network: nn.Module, optimizer: Optimizer) -> None:
    for quantizer in fractional_layers(network).values():
        quantizer.bits.data.clamp_(LEAST_BITS, MOST_BITS)
