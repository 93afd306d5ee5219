# SPDX-License-Identifier: Apache-2.0
"""Weight quantizers that the papers compare with; none of them looks at the loss."""

from __future__ import annotations

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor

from qdeploy.quantizers.quantizer import Plane, WeightQuantizer


def _signs(weights: Tensor) -> Tensor:
    return torch.where(weights >= 0, 1, -1).to(torch.int8)


class _Binary(WeightQuantizer):
    def code_bits(self, weights: Tensor) -> float:
        """One bit per weight."""
        return weights.numel()


class BinaryConnectWeights(_Binary):
    """Signs without a scale (Courbariaux, Bengio & David, arXiv 1511.00363)."""

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """The signs."""
        return (Plane(_signs(weights), weights.new_ones(())),)


class BwnWeights(_Binary):
    """Signs, scaled by the mean magnitude (Rastegari et al., arXiv 1603.05279)."""

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """The signs and their scale."""
        return (Plane(_signs(weights), weights.abs().mean()),)


class TwnWeights(WeightQuantizer):
    """0 up to 0.7 of the mean magnitude, else signs, scaled by their mean (Li, Zhang & Liu, 2016).

    arXiv 1605.04711.
    """

    @torch.no_grad()
    def planes(self, weights: Tensor) -> tuple[Plane, ...]:
        """Codes and scale."""
        magnitudes = weights.abs()
        kept = magnitudes > 0.7 * magnitudes.mean()
        codes = _signs(weights) * kept
        return (Plane(codes, magnitudes[kept].mean()),)

    def code_bits(self, weights: Tensor) -> float:
        """Two bits per weight."""
        return 2 * weights.numel()


class _Weights(ExtendedInjector):  # type: ignore[misc]
    proxy_class = WeightQuantProxyFromInjector
    signed = True
    narrow_range = True


class BinaryConnect(_Weights):
    """For `weight_quant` of Brevitas layers."""

    tensor_quant = BinaryConnectWeights


class Bwn(_Weights):
    """For `weight_quant` of Brevitas layers."""

    tensor_quant = BwnWeights


class Twn(_Weights):
    """For `weight_quant` of Brevitas layers."""

    tensor_quant = TwnWeights
