# SPDX-License-Identifier: Apache-2.0
"""Weights as sums of k bases: the multi-bit codes of Xu et al. (arXiv 1802.00150).

    w ≈ Σ_i scale_i · base_i        base_i in {-1, +1}^n, scale_i >= 0, one such sum per group

All functions work on many groups at once, weights [G, n]; a group is a row of a layer, for
instance. Pruned weights have the code 0 in every base and count nowhere. Each function returns the
same for the same weights.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from qdeploy.quantizers.quantizer import largest_fraction_bits

# Of the alternation; Xu et al. found more to change little.
ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Bases:
    """A sum of bases for each group.

    Attributes:
        codes: int8 [G, k, n]; -1 and +1, 0 for pruned weights and where the scale is 0.
        scales: [G, k], not negative, in the type of the weights.
    """

    codes: Tensor
    scales: Tensor

    def values(self) -> Tensor:
        """The weights they stand for, [G, n]."""
        return (self.scales[:, :, None] * self.codes).sum(dim=1)


def greedy(weights: Tensor, bits: int, kept: Tensor | None = None) -> Bases:
    """Each base is the sign of what the ones before leave, its scale the mean magnitude of that.

    Args:
        weights: real, [G, n].
        bits: number of bases.
        kept: bool [G, n], False for pruned weights; None keeps all.

    Returns:
        The bases, the largest scale first, as from all solvers here.
    """
    return descending(_greedy(weights, bits, kept, False))


def refined(
    weights: Tensor, bits: int, kept: Tensor | None = None, tolerance: float = 0.0
) -> Bases:
    """As `greedy`, with all scales refitted by least squares after each base.

    A group gets no further base where its squared error is at most `tolerance` of its squares.
    """
    return descending(_greedy(weights, bits, kept, True, tolerance))


def alternating(
    weights: Tensor, bits: int, kept: Tensor | None = None, rounds: int = ROUNDS
) -> Bases:
    """From the greedy bases on, the best scales for the codes and the best codes for the scales."""
    bases = _greedy(weights, bits, kept, False)
    for _ in range(rounds):
        scales = least_squares(weights, bases.codes).scales
        bases = Bases(nearest_codes(weights, scales, kept), scales)
    return descending(bases)


def least_squares(weights: Tensor, codes: Tensor, curvature: Tensor | None = None) -> Bases:
    """The best scales for the codes: min Σ curvature · (Σ_i scale_i · base_i - weight)².

    Bases whose scale would be negative are turned; equal ones share theirs.

    Args:
        weights: [G, n].
        codes: int8 [G, k, n].
        curvature: positive, [G, n]; None for 1.
    """
    bases = codes.to(torch.float64)
    weighted = bases if curvature is None else bases * curvature[:, None]
    moments = weighted @ weights.to(torch.float64)[:, :, None]
    scales = torch.linalg.pinv(weighted @ bases.mT, hermitian=True) @ moments
    return _positive(codes, scales[:, :, 0].to(weights.dtype))


def nearest_codes(weights: Tensor, scales: Tensor, kept: Tensor | None = None) -> Tensor:
    """The codes [G, k, n] of the sums that are nearest to the weights.

    Each of the 2^k sums of a group is right for an interval that ends halfway to its neighbours;
    k comparisons find a weight's interval.
    """
    signs = list(itertools.product((-1, 1), repeat=scales.shape[1]))
    table = torch.tensor(signs, dtype=torch.int8, device=weights.device)
    sums, order = torch.sort(scales @ table.to(scales.dtype).T, dim=1, stable=True)
    halfway = (sums[:, 1:] + sums[:, :-1]) / 2
    place = torch.searchsorted(halfway.contiguous(), weights.contiguous())
    codes: Tensor = table[order.gather(1, place)].movedim(2, 1) * (scales > 0)[:, :, None]
    return codes if kept is None else codes * kept[:, None]


def in_fixed_point(
    weights: Tensor, bases: Bases, scale_bits: int = 8, kept: Tensor | None = None
) -> Bases:
    """The scales rounded as by `fixed_point_scales`, and the nearest codes for them."""
    scales = fixed_point_scales(bases.scales, scale_bits)
    return Bases(nearest_codes(weights, scales, kept), scales)


def fixed_point_scales(scales: Tensor, scale_bits: int = 8) -> Tensor:
    """Scales rounded to a · 2^-f with 1 <= a < 2^scale_bits; those of 0 stay 0.

    One f serves all of them; the largest uses all bits.
    """
    largest = float(scales.max())
    if largest == 0:
        return scales
    step = 2.0 ** -largest_fraction_bits(largest, scale_bits)
    integers = torch.round(scales / step).clamp(1, 2**scale_bits - 1)
    return torch.where(scales > 0, integers * step, 0)


def descending(bases: Bases) -> Bases:
    """Equal sums with the largest scale of each group first."""
    scales, order = torch.sort(bases.scales, dim=1, descending=True, stable=True)
    return Bases(bases.codes.gather(1, order[:, :, None].expand_as(bases.codes)), scales)


def _greedy(
    weights: Tensor, bits: int, kept: Tensor | None, refit: bool, tolerance: float = 0.0
) -> Bases:
    kept = torch.ones_like(weights, dtype=torch.bool) if kept is None else kept
    count = kept.sum(dim=1, keepdim=True).clamp(min=1)
    codes = torch.zeros((len(weights), 0, weights.shape[1]), dtype=torch.int8)
    bases = Bases(codes.to(weights.device), weights.new_zeros((len(weights), 0)))
    bound = tolerance * (weights * kept).square().sum(dim=1, keepdim=True)
    for _ in range(bits):
        rest = (weights - bases.values()) * kept
        wanted = rest.square().sum(dim=1, keepdim=True) > bound
        base = torch.where(rest >= 0, 1, -1) * (kept & wanted)
        codes = torch.cat([bases.codes, base.to(torch.int8)[:, None]], dim=1)
        if refit:
            bases = least_squares(weights, codes)
        else:
            scale = rest.abs().sum(dim=1, keepdim=True) / count
            bases = _positive(codes, torch.cat([bases.scales, scale], dim=1))
    return bases


def _positive(codes: Tensor, scales: Tensor) -> Bases:
    """Equal sums without negative scales; those of bases that are 0 are 0, and the reverse."""
    scales = scales * (codes != 0).any(dim=2)
    return Bases(codes * scales.sign().to(torch.int8)[:, :, None], scales.abs())
