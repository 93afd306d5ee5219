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
from qdeploy.training.budgets import fractional_layers, layer_costs, network_cost
from qdeploy.training.config import TrainingConfig
from qdeploy.training.devices import of_first
from qdeploy.training.phases import Phase, adam

BITS_LEARNING_RATE = 1e-2
# Loss in nats that a budget exceeded by 1 % is worth.
STRENGTH = 0.1


class Search:
    """Widths of the least loss within a budget.

    Attributes:
        kept: "costs" [L, widths] of the layers and the "budget" for them, both found once.
    """

    def __init__(self, config: FractionalBitsConfig, example: Tensor) -> None:
        self.config = config
        self.example = example
        self.kept: dict[str, Tensor] = {}

    def begin(self, network: nn.Module) -> None:
        """Find the costs; all layers start with the width that the budget would allow them all."""
        costs, budget = of_first(lambda: layer_costs(network, self.config, self.example))
        self.kept.update(costs=costs, budget=torch.tensor(budget, dtype=torch.float64))
        for quantizer in fractional_layers(network).values():
            quantizer.bits.data.fill_(uniform_bits(costs, budget))

    def penalty(self, network: nn.Module) -> Tensor:
        """What is beyond the budget."""
        bits = _bits(network)
        costs, budget = self.kept["costs"].to(bits.device), self.kept["budget"].item()
        excess = interpolated_cost(bits, costs) / budget - 1
        return 100 * STRENGTH * excess.clamp(min=0)

    def round(self, network: nn.Module) -> None:
        """Whole widths within the budget; those of hardware are compiled to see that they are.

        What the network takes together is not quite the sum of its layers' costs: the budget is
        lowered by as much as it is exceeded, until it holds.
        """
        costs, budget = self.kept["costs"], self.kept["budget"].item()
        bits = _bits(network).tolist()
        while True:
            widths = rounded_bits(bits, costs, budget)
            for quantizer, width in zip(fractional_layers(network).values(), widths, strict=True):
                quantizer.bits.data.fill_(width)
            if self.config.budget == "bits" or max(widths) == LEAST_BITS:
                return
            spent = of_first(lambda: network_cost(network, self.config, self.example))
            if spent <= self.config.amount:
                return
            cost = float(interpolated_cost(torch.tensor(widths, dtype=costs.dtype), costs))
            budget = min(budget, cost) * self.config.amount / spent


def fractional_bits_phases(
    config: FractionalBitsConfig, training: TrainingConfig, example: Tensor
) -> tuple[Phase, ...]:
    """Two phases, for inputs as `example` [1, ...]; the second starts with whole widths."""
    search = Search(config, example)
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
            kept=search.kept,
        ),
        Phase(
            name="fine-tune",
            epochs=max(1, training.epochs - epochs),
            optimizer=partial(_with_fixed_bits, learning_rate=training.learning_rate),
            begin=search.round,
            augmented=augmented,
        ),
    )


def _bits(network: nn.Module) -> Tensor:
    return torch.stack([quantizer.bits for quantizer in fractional_layers(network).values()])


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


def _clamp(network: nn.Module, optimizer: Optimizer, done: float) -> None:
    for quantizer in fractional_layers(network).values():
        quantizer.bits.data.clamp_(LEAST_BITS, MOST_BITS)
