# SPDX-License-Identifier: Apache-2.0
"""ALQ's training (Qu et al., arXiv 1912.08883): bases, coordinates and pruning in rounds.

There are no float weights behind the quantized ones: a layer's weights are set to its sums of
bases after each step.

- bases: AMSGrad moves the weights; then each takes the nearest of its group's sums, and the scales
  ("coordinates") are solved for.
- coordinates: AMSGrad moves the scales. It starts with the moments that the bases' ones imply.
- prune: the same, from the moments of the coordinates on, while the bases that cost the least are
  removed in equal shares, until the round's share is left.
- fine-tuning, afterwards: float weights that start from the sums choose the codes straight
  through; scales are trained along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from qdeploy.quantizers.alq.quantizer import AlqQuantizer
from qdeploy.quantizers.alq.solvers import (
    bases_step,
    cheapest,
    removal_costs,
    scale_moments,
    without,
)
from qdeploy.quantizers.bits import quantized_layers
from qdeploy.quantizers.config import AlqConfig
from qdeploy.quantizers.multibit.solvers import Bases, nearest_codes
from qdeploy.training.config import TrainingConfig
from qdeploy.training.phases import Phase

# Of codes and scales, relative to the other parameters.
WEIGHT_LEARNING_RATE = 0.2
# How many times as many bases of each layer are considered as are removed on average in a step.
CONSIDERED = 2.5
# Of the epochs, for the fine-tuning; of a round's, for the coordinates.
FINE_TUNING = 0.4
COORDINATES = 1 / 3


def alq_phases(quantization: AlqConfig, training: TrainingConfig) -> tuple[Phase, ...]:
    """Phases of together about `training.epochs` epochs, and one of each round that prunes."""

    def phase(name: str, epochs: int, optimizer: Callable[..., Optimizer], **hooks: Any) -> Phase:
        return Phase(
            name=name,
            epochs=epochs,
            optimizer=partial(optimizer, learning_rate=training.learning_rate),
            augmented=training.augmentation == "both",
            **hooks,
        )

    share = FINE_TUNING if quantization.fine_tuning else 0.0
    each = (1 - share) * training.epochs / quantization.rounds
    coordinates, last = round(each * COORDINATES), round(share * training.epochs * COORDINATES)
    phases = []
    for _ in range(quantization.rounds):
        cut = Pruning(math.exp(-quantization.pruning), loss_aware_costs)
        phases += [
            phase("bases", round(each) - coordinates, _of_weights, begin=_begin, after_step=_bases),
            phase("coordinates", coordinates, _of_scales, begin=_begin, after_step=_coordinates),
            phase(
                "prune",
                1,
                _of_scales,
                begin=cut.begin,
                after_step=cut.after_step,
            ),
        ]
    if quantization.fine_tuning:
        long = round(share * training.epochs) - last
        phases += [
            phase("fine-tuning", long, _of_both, begin=_begin, after_step=_straight_through),
            phase("coordinates", last, _of_scales, begin=_begin, after_step=_coordinates),
        ]
    return tuple(phases)


@dataclass
class Pruning:
    """Hooks of a phase of one epoch that moves scales and leaves a share of them.

    Attributes:
        share: of the bases, that stays.
        criterion: what removing each base of a layer costs, [groups, bases] as its scales.
        start: number of bases at the beginning.
    """

    share: float
    criterion: Callable[[AlqQuantizer, Optimizer], Tensor]
    start: int = 0

    def begin(self, network: nn.Module) -> None:
        """Count the bases."""
        _begin(network)
        self.start = _count(network)

    @torch.no_grad()
    def after_step(self, network: nn.Module, optimizer: Optimizer, done: float) -> None:
        """Remove bases until start · share^done are left."""
        _coordinates(network, optimizer, done)
        left = _count(network)
        count = left - round(self.start * self.share**done)
        if count <= 0:
            return
        layers = list(_layers(network))
        costs = [self.criterion(quantizer, optimizer) for _, quantizer in layers]
        scales = [quantizer.scales.detach() for _, quantizer in layers]
        chosen = cheapest(costs, scales, CONSIDERED * count / left, count)
        for (layer, quantizer), removed in zip(layers, chosen, strict=True):
            quantizer.set_bases(without(quantizer.bases, removed))
            layer.weight.copy_(quantizer.values())


def loss_aware_costs(quantizer: AlqQuantizer, optimizer: Optimizer) -> Tensor:
    """What removing each base costs by the model of the loss that the optimizer's moments make."""
    state, group = optimizer.state[quantizer.scales], optimizer.param_groups[1]
    gradient = state["exp_avg"] / (1 - group["betas"][0] ** float(state["step"]))
    curvature = _curvature(optimizer, quantizer.scales)
    return removal_costs(quantizer.scales.detach(), gradient, curvature, group["initial_lr"])


def _layers(network: nn.Module) -> Iterator[tuple[Any, AlqQuantizer]]:
    for _, layer, quantizer in quantized_layers(network):
        if isinstance(quantizer, AlqQuantizer):
            yield layer, quantizer


def _count(network: nn.Module) -> int:
    """Scales that are left."""
    return sum(int((quantizer.scales > 0).sum()) for _, quantizer in _layers(network))


@torch.no_grad()
def _begin(network: nn.Module) -> None:
    """Layers' weights become what is deployed, but for the rounding of scales."""
    for layer, quantizer in _layers(network):
        quantizer.initialise(layer.weight)
        layer.weight.copy_(quantizer.values())


def _of_weights(network: nn.Module, learning_rate: float) -> Optimizer:
    """AMSGrad of the quantized layers' weights, Adam of all else but scales."""
    return _optimizer(network, [layer.weight for layer, _ in _layers(network)], learning_rate)


def _of_scales(network: nn.Module, learning_rate: float) -> Optimizer:
    """AMSGrad of scales, from the moments that the last phase left; Adam of all but weights."""
    quantizers = [quantizer for _, quantizer in _layers(network)]
    optimizer = _optimizer(network, [q.scales for q in quantizers], learning_rate)
    for quantizer in quantizers:
        if quantizer.steps > 0:
            optimizer.state[quantizer.scales] = {
                "step": quantizer.steps.float().cpu(),
                "exp_avg": quantizer.first_moment.clone(),
                "exp_avg_sq": quantizer.second_moment.clone(),
                "max_exp_avg_sq": quantizer.second_moment.clone(),
            }
    return optimizer


def _of_both(network: nn.Module, learning_rate: float) -> Optimizer:
    """AMSGrad of weights and scales, Adam of all else."""
    own = [p for layer, quantizer in _layers(network) for p in (layer.weight, quantizer.scales)]
    return _optimizer(network, own, learning_rate)


def _optimizer(network: nn.Module, own: list[nn.Parameter], learning_rate: float) -> Optimizer:
    layers = list(_layers(network))
    ours = {id(p) for layer, quantizer in layers for p in (layer.weight, quantizer.scales)}
    others = [p for p in network.parameters() if id(p) not in ours]
    return Adam(
        [
            {"params": others, "lr": learning_rate},
            {"params": own, "lr": learning_rate * WEIGHT_LEARNING_RATE, "amsgrad": True},
        ]
    )


@torch.no_grad()
def _bases(network: nn.Module, optimizer: Optimizer, done: float) -> None:
    """The nearest sums to where AMSGrad went, and their best scales."""
    for layer, quantizer in _layers(network):
        split, state = quantizer.groups.split, optimizer.state[layer.weight]
        curvature = _curvature(optimizer, layer.weight)
        bases = bases_step(split(layer.weight), split(curvature), quantizer.bases)
        quantizer.set_bases(bases)
        layer.weight.copy_(quantizer.values())
        first, second = split(state["exp_avg"]), split(state["max_exp_avg_sq"])
        quantizer.set_moments(*scale_moments(bases.codes, first, second), int(state["step"]))


@torch.no_grad()
def _coordinates(network: nn.Module, optimizer: Optimizer, done: float) -> None:
    """Bases whose scale became negative turn; those that are gone stay so."""
    for layer, quantizer in _layers(network):
        _turn(quantizer, optimizer)
        layer.weight.copy_(quantizer.values())
        state = optimizer.state[quantizer.scales]
        quantizer.set_moments(state["exp_avg"], state["max_exp_avg_sq"], int(state["step"]))


@torch.no_grad()
def _straight_through(network: nn.Module, optimizer: Optimizer, done: float) -> None:
    """The codes that are nearest to the float weights; the moments were those of other codes."""
    for layer, quantizer in _layers(network):
        _turn(quantizer, optimizer)
        scales = quantizer.bases.scales
        codes = nearest_codes(quantizer.groups.split(layer.weight), scales)
        quantizer.set_bases(Bases(codes, scales))
        quantizer.steps.fill_(0)


def _turn(quantizer: AlqQuantizer, optimizer: Optimizer) -> None:
    sign = quantizer.scales.sign() * (quantizer.codes != 0).any(dim=2)
    codes = quantizer.codes * sign.to(torch.int8)[:, :, None]
    quantizer.set_bases(Bases(codes, quantizer.scales * sign))
    optimizer.state[quantizer.scales]["exp_avg"].mul_(sign)


def _curvature(optimizer: Optimizer, parameter: nn.Parameter) -> Tensor:
    """What AMSGrad divides its steps by."""
    state, group = optimizer.state[parameter], optimizer.param_groups[1]
    correction = math.sqrt(1 - group["betas"][1] ** float(state["step"]))
    curvature: Tensor = state["max_exp_avg_sq"].sqrt() / correction + group["eps"]
    return curvature
