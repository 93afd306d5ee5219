# SPDX-License-Identifier: Apache-2.0
"""A training is a list of phases; each method has its own, all run in one loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from qdeploy.quantizers.syq import SyqWeightQuantizer

# Relative to the other parameters; with full steps scales ran far out of their integers' range.
SCALE_LEARNING_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Some epochs with one optimizer.

    Attributes:
        name: what the progress bar shows.
        epochs: passes over the data.
        optimizer: for the network as it is after `begin`.
        schedule: learning rate relative to the optimizer's, by the share 0 .. 1 of steps done.
        begin: changes the network before the first epoch.
        penalty: what is added to the loss, in its units.
        after_step: called behind each step with the network, the optimizer and the share 0 .. 1 of
            the phase's steps that are done (one less than 1 if the last batch joined another).
        after_epoch: called with the network behind each epoch, before it is evaluated.
        note: what the progress bar shows behind each epoch, besides loss, metric and bits.
        augmented: whether images are moved.
        kept: what the hooks found out and need again, besides the network: a resumed training has
            it too.
    """

    name: str
    epochs: int
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[float], float] = lambda done: (1 + math.cos(math.pi * done)) / 2
    begin: Callable[[nn.Module], None] = lambda network: None
    penalty: Callable[[nn.Module], Tensor] | None = None
    after_step: Callable[[nn.Module, Optimizer, float], None] = lambda *step: None
    after_epoch: Callable[[nn.Module], None] = lambda network: None
    note: Callable[[nn.Module], str] = lambda network: ""
    augmented: bool = False
    kept: dict[str, Tensor] = field(default_factory=dict)


def adam(network: nn.Module, learning_rate: float) -> Adam:
    """Adam with SYQ's scales apart from the other parameters, at a learning rate of their own."""
    quantizers = [m for m in network.modules() if isinstance(m, SyqWeightQuantizer)]
    scales = {id(quantizer.scale) for quantizer in quantizers}
    others = [p for p in network.parameters() if id(p) not in scales]
    return Adam(
        [
            {"params": others, "lr": learning_rate},
            {
                "params": [quantizer.scale for quantizer in quantizers],
                "lr": learning_rate * SCALE_LEARNING_RATE,
            },
        ]
    )
