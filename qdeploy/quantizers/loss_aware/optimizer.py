# SPDX-License-Identifier: Apache-2.0
"""Adam whose second moments are the curvature that loss-aware weights are quantized by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qdeploy.quantizers.bits import quantized_layers
from qdeploy.quantizers.loss_aware.weights import LossAwareWeightQuantizer

# As in the authors' code: the curvature of weights without gradient so far.
EPSILON = 1e-8


class LossAwareAdam(torch.optim.Adam):
    """Adam on all parameters of a network, and what loss-aware layers need behind each step.

    The real weights of these layers are clipped to -1 .. 1, and their quantizers get the curvature
    sqrt(v) + 1e-8, v Adam's second moment of the gradient at the quantized weights.

    Args:
        network: any module, with loss-aware layers anywhere inside.
        options: of `torch.optim.Adam`, for instance `lr`.
    """

    def __init__(self, network: nn.Module, **options: Any) -> None:
        super().__init__(network.parameters(), **options)
        self._network = network

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of Adam, then clipping and curvature; the closure's loss."""
        loss = super().step(closure)
        with torch.no_grad():
            # Not found once and for all: Brevitas makes quantizers anew when it loads parameters.
            for _, layer, quantizer in quantized_layers(self._network):
                if isinstance(quantizer, LossAwareWeightQuantizer):
                    layer.weight.clamp_(-1, 1)
                    if moments := self.state.get(layer.weight):
                        state = quantizer.state_of(layer.weight)
                        state.curvature.copy_(moments["exp_avg_sq"].sqrt() + EPSILON)
        return loss
