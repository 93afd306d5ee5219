# SPDX-License-Identifier: Apache-2.0
"""The steps of ALQ (Qu et al., arXiv 1912.08883) on groups of weights [G, n].

The loss around the quantized weights v = Σ_i scale_i · base_i is modelled by AMSGrad's moments:

    g · (w - v) + ½ Σ h · (w - v)² / η        g the gradient, h = sqrt(v_max), η the learning rate

Its minimum, w* = v - η g / h, is where AMSGrad would go; the bases step and the speed-up come as
near to it, in the norm of h, as sums of bases can. A scale of 0 says that the group has no such
base (any more).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qdeploy.quantizers.multibit.solvers import (
    Bases,
    descending,
    least_squares,
    nearest_codes,
    refined,
)

# Of the squares of a group: what is left needs no further base.
SKETCH_TOLERANCE = 1e-6


def sketch(weights: Tensor, maximum: int) -> Bases:
    """Structured sketching: refined greedy bases, for each group [n] as many as it needs."""
    return refined(weights, maximum, tolerance=SKETCH_TOLERANCE)


def bases_step(targets: Tensor, curvature: Tensor, bases: Bases) -> Bases:
    """Codes of the sums nearest to the targets, then ("speed-up") the best scales for them.

    Args:
        targets: w*, [G, n].
        curvature: h, positive, [G, n].
        bases: the present ones; none is added.
    """
    return speed_up(targets, curvature, nearest_codes(targets, bases.scales))


def speed_up(targets: Tensor, curvature: Tensor, codes: Tensor) -> Bases:
    """The scales for which the model's gradient vanishes; equal bases become one."""
    return merged(least_squares(targets, codes, curvature))


def merged(bases: Bases) -> Bases:
    """Equal sums in which no base is another one or its negative; the largest scale first."""
    codes, scales = bases.codes.clone(), bases.scales.clone()
    for later in range(1, scales.shape[1]):
        for earlier in range(later):
            product = (codes[:, earlier].int() * codes[:, later]).sum(dim=1)
            same = product.abs() == codes.shape[2]
            moved = torch.where(same, product.sign() * scales[:, later], 0)
            total = scales[:, earlier] + moved
            codes[:, earlier] *= torch.where(total < 0, -1, 1).to(torch.int8)[:, None]
            scales[:, earlier] = total.abs()
            scales[:, later] = torch.where(same, 0, scales[:, later])
            codes[:, later] *= ~same[:, None]
    return descending(Bases(codes * (scales > 0)[:, :, None], scales))


def removal_costs(
    scales: Tensor, gradient: Tensor, curvature: Tensor, learning_rate: float
) -> Tensor:
    """η times what the model of the loss gains where a scale becomes 0, of any shape.

    Args:
        scales: not negative.
        gradient: of the loss by the scales, smoothed (AMSGrad's first moment, corrected).
        curvature: sqrt of AMSGrad's second moment, positive.
        learning_rate: η at the start of the phase. Decayed to nothing, as in the published code,
            it would leave the gradient out.
    """
    return curvature * scales.square() / 2 - learning_rate * gradient * scales


def cheapest(
    costs: Sequence[Tensor], scales: Sequence[Tensor], share: float, count: int
) -> list[Tensor]:
    """Which scales to prune: the `count` cheapest of all layers.

    Args:
        costs: `removal_costs` of each layer.
        scales: of the same shapes; those of 0 are pruned already.
        share: of a layer's scales, at most so many at once; never its last one.
        count: of all layers.

    Returns:
        For each layer a bool tensor of the shape of its scales.
    """
    chosen = [torch.zeros_like(s, dtype=torch.bool) for s in scales]
    offered = []
    for cost, own in zip(costs, scales, strict=True):
        places = own.flatten().nonzero()[:, 0]
        order = cost.flatten()[places].argsort(stable=True)
        most = min(math.ceil(share * len(places)), max(0, len(places) - 1))
        offered.append(places[order[:most]])
    values = torch.cat([c.flatten()[places] for c, places in zip(costs, offered, strict=True)])
    rank = torch.empty_like(values, dtype=torch.int64)
    rank[values.argsort(stable=True)] = torch.arange(len(values), device=values.device)
    sizes = [len(places) for places in offered]
    for mask, places, ranks in zip(chosen, offered, torch.split(rank, sizes), strict=True):
        mask.view(-1)[places[ranks < count]] = True
    return chosen


def without(bases: Bases, removed: Tensor) -> Bases:
    """The bases without those marked in bool [G, k]."""
    kept = ~removed
    return Bases(bases.codes * kept[:, :, None], bases.scales * kept)


def scale_moments(codes: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """AMSGrad's moments [G, k] of the scales from those of the weights [G, n].

    d loss / d scale_i = base_i · d loss / d w, and second moments add up: diag(B' diag(v) B).
    """
    bases = codes.to(first.dtype)
    return (bases @ first[:, :, None])[:, :, 0], (bases.square() @ second[:, :, None])[:, :, 0]
