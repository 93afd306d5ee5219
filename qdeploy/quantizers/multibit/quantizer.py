# SPDX-License-Identifier: Apache-2.0
"""Multi-bit weights as Brevitas quantizers: one sum of bases per row (output channel)."""

from __future__ import annotations

from typing import Literal

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor

from qdeploy.quantizers.bases import BasesQuantizer
from qdeploy.quantizers.groups import Groups
from qdeploy.quantizers.multibit import solvers
from qdeploy.quantizers.multibit.solvers import Bases, in_fixed_point

Solver = Literal["greedy", "refined", "alternating"]


class MultibitQuantizer(BasesQuantizer):
    """Weights to sums of bases, or, while they are retrained, to themselves.

    Args:
        bits: number of bases, 1 to 4.
        solver: how they are found.
        pruned: share of the layer's weights that are 0, those of least magnitude on first use.
        scale_bits: bits of the scales' integers.
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        kept: which weights are not pruned, bool [O, n].
        retraining: whether `forward` in training mode leaves the weights as they are, bool.
    """

    kept: Tensor
    retraining: Tensor

    def __init__(
        self,
        bits: int,
        solver: Solver,
        pruned: float,
        scale_bits: int,
        tracked_parameter_list: list[Tensor],
    ) -> None:
        shape = tuple(tracked_parameter_list[0].shape)
        super().__init__(Groups(shape, "channelwise"), bits, scale_bits, tracked_parameter_list)
        self.solver = solver
        self.pruned = pruned
        self.register_buffer("kept", torch.ones_like(self.codes[:, 0], dtype=torch.bool))
        self.register_buffer("retraining", torch.zeros_like(self.initialised))

    def initial(self, weights: Tensor) -> Bases:
        """Prunes, and solves."""
        count = round(self.pruned * weights.numel())
        order = weights.abs().flatten().argsort(stable=True)
        self.kept.view(-1)[order[:count]] = False
        return self.solved(weights)

    def solved(self, weights: Tensor) -> Bases:
        """The bases of weights [O, n] with scales in fixed point; pruned ones count nowhere."""
        bases = getattr(solvers, self.solver)(weights, self.bits, self.kept)
        return in_fixed_point(weights, bases, self.scale_bits, self.kept)

    @torch.no_grad()
    def requantize(self, weights: Tensor) -> None:
        """Set the bases from weights [O, I, K...]."""
        self.initialise(weights)
        self.set_bases(self.solved(self.groups.split(weights)))

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        if not (self.training and self.retraining):
            return super().forward(weights)
        one = weights.new_ones(())
        return weights * self.groups.joined(self.kept), one, 0 * one, one * self.bits

    def code_bits(self, weights: Tensor) -> float:
        """One bit per base and weight that is left; with pruning one more for all, the mask."""
        self.initialise(weights)
        mask = 0 if self.kept.all() else self.kept.numel()
        return float(self.bits * int(self.kept.sum()) + mask)


class MultibitWeights(ExtendedInjector):  # type: ignore[misc]
    """Sums of 2 bases per row; `MultibitWeights.let(bits=3, pruned=0.5)` for others."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = MultibitQuantizer
    signed = True
    narrow_range = True
    bits = 2
    solver = "alternating"
    pruned = 0.0
    scale_bits = 8
