# SPDX-License-Identifier: Apache-2.0
"""ALQ's weights as Brevitas quantizers: each group keeps as many bases as the loss wants."""

from __future__ import annotations

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor

from qdeploy.quantizers.alq.solvers import sketch
from qdeploy.quantizers.bases import BasesQuantizer
from qdeploy.quantizers.groups import Groups, Structure
from qdeploy.quantizers.multibit.solvers import Bases


class AlqQuantizer(BasesQuantizer):
    """Weights to sums of bases, which training changes and prunes.

    Args:
        structure: of the groups.
        pieces: of an output channel, for "subchannelwise".
        bits: largest number of bases of a group.
        scale_bits: bits of the scales' integers.
        tracked_parameter_list: the layer's weights, handed in by Brevitas.

    Attributes:
        first_moment: AMSGrad's, of the gradient by the scales, [G, bits].
        second_moment: its largest one so far, [G, bits].
        steps: how many steps they are the moments of, int64; 0 if there are none for the codes.
    """

    first_moment: Tensor
    second_moment: Tensor
    steps: Tensor

    def __init__(
        self,
        structure: Structure,
        pieces: int,
        bits: int,
        scale_bits: int,
        tracked_parameter_list: list[Tensor],
    ) -> None:
        groups = Groups(tuple(tracked_parameter_list[0].shape), structure, pieces)
        super().__init__(groups, bits, scale_bits, tracked_parameter_list)
        self.register_buffer("first_moment", torch.zeros_like(self.scales.data))
        self.register_buffer("second_moment", torch.zeros_like(self.scales.data))
        self.register_buffer("steps", torch.zeros_like(self.initialised, dtype=torch.int64))

    def initial(self, weights: Tensor) -> Bases:
        """Structured sketching."""
        return sketch(weights, self.bits)

    def set_moments(self, first: Tensor, second: Tensor, steps: int) -> None:
        """Replace the moments."""
        self.first_moment.copy_(first)
        self.second_moment.copy_(second)
        self.steps.fill_(steps)

    def code_bits(self, weights: Tensor) -> float:
        """One bit per weight of a group and base that the group has."""
        self.initialise(weights)
        return float(int((self.scales > 0).sum()) * self.groups.size)


class AlqWeights(ExtendedInjector):  # type: ignore[misc]
    """Channelwise groups of up to 6 bases; `AlqWeights.let(structure="pixelwise")` for others."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = AlqQuantizer
    signed = True
    narrow_range = True
    structure = "channelwise"
    pieces = 1
    bits = 6
    scale_bits = 8
