# SPDX-License-Identifier: Apache-2.0
"""What multi-bit codes and ALQ share: quantizers whose state is bases and scales of groups."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from qdeploy.quantizers.groups import Groups
from qdeploy.quantizers.multibit.solvers import Bases, descending, fixed_point_scales
from qdeploy.quantizers.quantizer import Plane, WeightQuantizer, straight_through


class BasesQuantizer(WeightQuantizer):
    """A `tensor_quant` that keeps codes and scales apart from the weights.

    They are set on first use, from the weights found then, and change when the method says so.
    Scales are used as they are deployed, in fixed point: a · 2^-f, 1 <= a < 2^scale_bits, one f
    per layer. The gradient goes to the scales and, as if they were not quantized, to the weights.

    Args:
        groups: which weights share bases.
        bits: number of bases.
        scale_bits: bits of the scales' integers a.
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        codes: of the bases, int8 [G, bits, n].
        scales: before rounding, [G, bits].
        initialised: whether the two are set, bool.

    Raises:
        UserError: if several layers share the quantizer.
    """

    codes: Tensor
    scales: nn.Parameter
    initialised: Tensor

    def __init__(
        self, groups: Groups, bits: int, scale_bits: int, tracked_parameter_list: list[Tensor]
    ) -> None:
        super().__init__(tracked_parameter_list)
        weights = groups.split(tracked_parameter_list[0].detach())
        self.groups = groups
        self.bits = bits
        self.scale_bits = scale_bits
        shape = (len(weights), bits, groups.size)
        self.register_buffer("codes", weights.new_zeros(shape, dtype=torch.int8))
        self.scales = nn.Parameter(weights.new_zeros(shape[:2]))
        self.register_buffer("initialised", torch.tensor(False, device=weights.device))

    @abstractmethod
    def initial(self, weights: Tensor) -> Bases:
        """The bases of real weights [G, n]."""

    @property
    def bases(self) -> Bases:
        """The present bases, with scales before rounding."""
        return Bases(self.codes, self.scales.detach())

    @torch.no_grad()
    def set_bases(self, bases: Bases) -> None:
        """Replace the present bases."""
        self.codes.copy_(bases.codes)
        self.scales.copy_(bases.scales)
        self.initialised.fill_(True)

    @torch.no_grad()
    def initialise(self, weights: Tensor) -> None:
        """Set the bases from weights [O, I, K...], unless they are set."""
        if not self.initialised:
            self.set_bases(self.initial(self.groups.split(weights)))

    def values(self) -> Tensor:
        """The weights before scales are rounded, [O, I, K...]."""
        return self.groups.joined(self.bases.values())

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantized weights; the scale is none of theirs."""
        self.initialise(weights)
        rounded = straight_through(
            self.scales, fixed_point_scales(self.scales.detach(), self.scale_bits)
        )
        values = self.groups.joined(Bases(self.codes, rounded).values())
        quantized = values + straight_through(weights, torch.zeros_like(weights))
        one = weights.new_ones(())
        return quantized, one, 0 * one, one * self.bits

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """One plane per base; none for those that no group has, codes 0 where a group lacks it."""
        self.initialise(weights)
        bases = descending(self.bases)
        scales = fixed_point_scales(bases.scales, self.scale_bits)
        count = max(1, int((scales > 0).any(dim=0).sum()))
        return tuple(self._plane(bases.codes[:, i], scales[:, i]) for i in range(count))

    def _plane(self, codes: Tensor, scales: Tensor) -> Plane:
        used = scales[scales > 0]
        scales = torch.where(scales > 0, scales, used.min() if len(used) else 1.0)
        return Plane(self.groups.joined(codes), scales.reshape(self.groups.scale_shape))
