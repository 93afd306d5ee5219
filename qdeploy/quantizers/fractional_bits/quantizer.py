# SPDX-License-Identifier: Apache-2.0
"""Weights of a learned, first fractional, then whole number of bits."""

from __future__ import annotations

import math

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor, nn

from qdeploy.quantizers.fractional_bits.solvers import LEAST_BITS, MOST_BITS, uniform_codes
from qdeploy.quantizers.quantizer import Plane, WeightQuantizer, straight_through

INITIAL_BITS = 6.0


class FractionalBitsQuantizer(WeightQuantizer):
    """The `tensor_quant` of `FractionalBits`.

    In training mode weights are between those of the two next widths, and the loss has a gradient
    in `bits`: <dL/dw_hat, Q_(floor + 1) - Q_floor>. Deployed is the nearest whole width.

    Attributes:
        bits: learned width, LEAST_BITS .. MOST_BITS.
    """

    def __init__(self, tracked_parameter_list: list[Tensor]) -> None:
        super().__init__(tracked_parameter_list)
        weights = tracked_parameter_list[0]
        self.bits = nn.Parameter(weights.new_tensor(INITIAL_BITS))

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `WeightQuantizer`."""
        if not self.training:
            return super().forward(weights)
        below = min(max(math.floor(self.bits.item()), LEAST_BITS), MOST_BITS - 1)
        with torch.no_grad():
            low, high = (
                Plane(*uniform_codes(weights, bits)).values() for bits in (below, below + 1)
            )
        fraction = self.bits - below
        mixed = (1 - fraction) * low + fraction * high
        quantized = mixed + straight_through(weights, mixed.detach()) - mixed.detach()
        return quantized, weights.new_ones(()), weights.new_zeros(()), self.bits

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """One plane of the nearest whole width."""
        return (Plane(*uniform_codes(weights, self.whole_bits)),)

    def code_bits(self, weights: Tensor) -> float:
        """The learned width per weight."""
        return weights.numel() * self.bits.item()

    @property
    def whole_bits(self) -> int:
        """The nearest whole width."""
        return min(max(round(self.bits.item()), LEAST_BITS), MOST_BITS)


class FractionalBits(ExtendedInjector):  # type: ignore[misc]
    """Codes -(2^(b-1) - 1) .. 2^(b-1) - 1 with one scale per layer and a learned b."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = FractionalBitsQuantizer
    signed = True
    narrow_range = True
