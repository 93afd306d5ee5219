# SPDX-License-Identifier: Apache-2.0
"""Codes and scale of one layer that least raise the loss, by a diagonal quadratic model of it.

With the real weights w and the curvature d > 0 of the loss along each of them, minimize

    1/2 Σ d (scale · level(code) - w)²                                                          (1)

For given codes the best scale is Σ d · level · w / Σ d · level² ("ls"); for a given scale the best
codes are those of the levels next to w / scale, whatever d is. Only ratios of d matter. All
functions take weights and curvature of equal, arbitrary shape and a floating-point type, and return
codes of that shape, int8, and scales of the weights' type, which are always positive: where all
codes that are not 0 belong to weights that are 0, the scale is `SMALLEST_SCALE`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from qdeploy.quantizers.loss_aware.levels import Levels

# "l1" divides by Σ d · |level| instead, as the authors' code does. It is the same for levels of
# magnitude 1 and no minimum of (1) for others.
ScaleRule = Literal["ls", "l1"]

SMALLEST_SCALE = 2.0**-64
MAXIMUM_ITERATIONS = 10
# Relative change of the scale at which alternation ends.
TOLERANCE = 1e-5
# Alternation finds a local minimum; it starts at the best of the largest magnitude times these.
_STARTS = tuple(2.0 ** (-step / 4) for step in range(28))

TERNARY = Levels(2)


def weighted_error(weights: Tensor, curvature: Tensor, quantized: Tensor) -> Tensor:
    """The model (1) of the loss, a scalar."""
    return 0.5 * (curvature * (quantized - weights) ** 2).sum()


def fitted_scale(
    weights: Tensor, curvature: Tensor, levels: Tensor, rule: ScaleRule = "ls"
) -> Tensor:
    """The scale for given levels (values, not codes), a scalar."""
    weighted = curvature * levels
    norm = (weighted * levels if rule == "ls" else weighted.abs()).sum()
    scale: Tensor = (weighted * weights).sum() / norm.clamp(min=torch.finfo(norm.dtype).tiny)
    return scale.clamp(min=SMALLEST_SCALE)


def binary(weights: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Codes -1, +1: the signs, that of 0 is +1; the scale is the weighted mean magnitude."""
    codes = torch.where(weights >= 0, 1, -1).to(torch.int8)
    return codes, fitted_scale(weights, curvature, codes.to(weights.dtype))


def ternary_exact(weights: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Codes -1, 0, +1 at the global minimum, in O(n log n).

    The n - k smallest magnitudes become 0. With P the sum of d |w| and D that of d over the others,
    (1) is a constant less P² / 2D, and the scale P / D.
    """
    magnitudes, order = weights.abs().flatten().sort(descending=True, stable=True)
    d = curvature.flatten()[order].double()
    mass = d.cumsum(0)
    moment = (d * magnitudes).cumsum(0)
    kept = order[: int((moment**2 / mass).argmax()) + 1]
    codes = torch.zeros(weights.numel(), dtype=torch.int8, device=weights.device)
    codes[kept] = weights.flatten()[kept].sign().to(torch.int8)
    codes = codes.reshape(weights.shape)
    return codes, fitted_scale(weights, curvature, codes.to(weights.dtype))


def alternating(
    weights: Tensor,
    curvature: Tensor,
    levels: Levels = TERNARY,
    rule: ScaleRule = "ls",
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Codes for the scale and the scale for the codes in turns; by default ternary.

    Args:
        weights: real numbers.
        curvature: positive, same shape.
        levels: which levels there are.
        rule: for the scale. With "ls", (1) never rises.
        start: scale to begin with, for instance that of the last training step.
    """
    dtype = weights.dtype
    scale = _best_start(weights, curvature, levels) if start is None else start
    for _ in range(MAXIMUM_ITERATIONS):
        codes = levels.nearest(weights / scale)
        previous = scale
        scale = fitted_scale(weights, curvature, levels.values(codes, dtype), rule)
        if (scale - previous).abs() <= TOLERANCE * previous:
            break
    return codes, scale


def two_scales_exact(weights: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Codes -1, 0, +1 with a scale for +1 and one for -1, [2], at the global minimum."""
    return _joined(*(ternary_exact(side, curvature) for side in _sides(weights)))


def two_scales_alternating(
    weights: Tensor, curvature: Tensor, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same by alternation on either side; `start` are both scales, [2]."""
    starts = (None, None) if start is None else start.unbind()
    above, below = (
        alternating(side, curvature, start=begin)
        for side, begin in zip(_sides(weights), starts, strict=True)
    )
    return _joined(above, below)


def _sides(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The magnitudes of the positive weights and of the negative ones.

    The others count as 0, so that any code but 0 would only cost them something.
    """
    return weights.clamp(min=0), (-weights).clamp(min=0)


def _joined(above: tuple[Tensor, Tensor], below: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return above[0] - below[0], torch.stack([above[1], below[1]])


def _best_start(weights: Tensor, curvature: Tensor, levels: Levels) -> Tensor:
    largest = weights.abs().max().clamp(min=SMALLEST_SCALE)
    scales: list[Tensor] = [largest * part for part in _STARTS]
    errors = []
    for scale in scales:
        quantized = scale * levels.values(levels.nearest(weights / scale), weights.dtype)
        errors.append(weighted_error(weights, curvature, quantized))
    return scales[int(torch.stack(errors).argmin())]
