# SPDX-License-Identifier: Apache-2.0
"""Uniform codes of a width, and widths under a budget.

The paper's text gives no relaxation; this one is ours. A layer of fractional width b has weights

    w_hat(b) = (1 - f) · Q_floor(b)(w) + f · Q_floor(b)+1(w)        f = b - floor(b)

and what it costs is interpolated in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_BITS, MOST_BITS = 2, 8
SCALE_BITS = 8


def uniform_codes(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes -k .. k, int8, with k = 2^(bits - 1) - 1, and their scale max|w| / k.

    The scale is rounded down to SCALE_BITS significant bits, so that sums of codes times scales are
    exact in float32 too. All-zero weights have the scale 1.
    """
    levels = 2 ** (bits - 1) - 1
    scale = weights.abs().max() / levels
    mantissa, exponent = torch.frexp(torch.where(scale > 0, scale, torch.ones_like(scale)))
    scale = torch.ldexp((mantissa * 2**SCALE_BITS).floor(), exponent - SCALE_BITS)
    codes = torch.round(weights / scale).clamp(-levels, levels)
    return codes.to(torch.int8), scale


def interpolated_cost(bits: Tensor, costs: Tensor) -> Tensor:
    """Sum over layers of the costs between those of the next widths; differentiable in `bits`.

    Args:
        bits: [L], LEAST_BITS .. MOST_BITS.
        costs: [L, MOST_BITS - LEAST_BITS + 1], of each layer at each width.
    """
    below = bits.detach().floor().clamp(LEAST_BITS, MOST_BITS - 1).long()
    fraction = bits - below
    at = (below - LEAST_BITS).unsqueeze(1)
    low, high = costs.gather(1, at)[:, 0], costs.gather(1, at + 1)[:, 0]
    return ((1 - fraction) * low + fraction * high).sum()


def uniform_bits(costs: Tensor, budget: float) -> float:
    """The width, the same for all layers, whose cost is the budget; at most MOST_BITS."""
    low, high = float(LEAST_BITS), float(MOST_BITS)
    for _ in range(30):
        middle = (low + high) / 2
        within = interpolated_cost(torch.full((len(costs),), middle), costs) <= budget
        low, high = (middle, high) if within else (low, middle)
    return high


def rounded_bits(bits: Sequence[float], costs: Tensor, budget: float) -> list[int]:
    """Whole widths within the budget, if it can be kept.

    All are rounded down; then the layers get their next bit, those with the largest fractions
    first, as long as the budget holds. If it does not hold to begin with, the layers whose last bit
    costs most lose it, until it does.

    Args:
        bits: of each layer.
        costs: [L, MOST_BITS - LEAST_BITS + 1].
        budget: in the unit of the costs.
    """
    table = costs.tolist()
    widths = [min(max(int(b), LEAST_BITS), MOST_BITS) for b in bits]

    def cost(chosen: list[int]) -> float:
        return float(sum(row[b - LEAST_BITS] for row, b in zip(table, chosen, strict=True)))

    def last_bit(layer: int) -> float:
        at = widths[layer] - LEAST_BITS
        return float(table[layer][at] - table[layer][at - 1])

    while cost(widths) > budget and max(widths) > LEAST_BITS:
        widths[max((k for k, b in enumerate(widths) if b > LEAST_BITS), key=last_bit)] -= 1
    fractions = [b - int(b) for b in bits]
    for layer in sorted(range(len(widths)), key=lambda k: -fractions[k]):
        raised = [*widths[:layer], widths[layer] + 1, *widths[layer + 1 :]]
        if fractions[layer] > 0 and raised[layer] <= MOST_BITS and cost(raised) <= budget:
            widths = raised
    return widths
