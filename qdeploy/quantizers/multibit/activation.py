# SPDX-License-Identifier: Apache-2.0
"""Multi-bit activations (Xu et al., arXiv 1802.00150; Qu et al., arXiv 1912.08883).

    y = reference + Σ_j beta_j · d_j        d_j in {-1, +1}

With reference = Σ beta_j, what comes out of a ReLU keeps its 0, and y = Σ_j scale_j · c_j with
scale_j = 2 · beta_j and c_j in {0, 1}: the nearest of 2^k levels. With scales in fixed point the
levels are integers a_j · 2^-f summed up, and a step from one to the next is as many equal
thresholds as it is high: a MultiThreshold.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

# Of the running averages, for each batch.
MOMENTUM = 0.05
# More bits than `bits` for the integers of the levels.
LEVEL_BITS = 2
# Alternations of levels and scales on the first batch.
_ROUNDS = 10


class MultibitReLU(nn.Module):
    """ReLU with 2^bits levels that follow the activations: running averages of the best scales.

    The gradient is 1 between 0 and the largest level, and 0 beyond.

    Args:
        bits: k.

    Attributes:
        scales: before rounding, [k], positive; 0 before the first batch.
    """

    scales: Tensor
    codes: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("scales", torch.zeros(bits))
        codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=bits)))
        self.register_buffer("codes", codes, persistent=False)

    def integers(self) -> tuple[Tensor, float]:
        """The levels, ascending from 0, as integers of bits + 2 bits, and their step 2^-f."""
        largest, scales = 2 ** (self.bits + LEVEL_BITS) - 1, self.scales
        total = float(scales.sum()) or 1.0
        step = 2.0 ** -math.floor(math.log2(largest / total))
        while float((rounded := torch.round(scales / step).clamp(min=1)).sum()) > largest:
            step *= 2
        return (self.codes @ rounded).sort().values, step

    def forward(self, x: Tensor) -> Tensor:
        """The nearest levels; in training mode they move towards `x` first."""
        if self.training:
            self._follow(x.detach())
        integers, step = self.integers()
        heights = integers.diff().long()
        edges = (integers[1:] + integers[:-1]) * (step / 2)
        # As numbers, so that an export has them as constants.
        steps = [edges.repeat_interleave(heights).tolist()]
        thresholds = torch.tensor(steps, dtype=x.dtype, device=x.device)
        y: Tensor = _Steps.apply(x, thresholds, step)  # type: ignore[no-untyped-call]
        return y

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        positive = x[x > 0].to(self.scales.dtype)
        if len(positive) == 0:
            return
        if self.scales.any():
            self.scales.lerp_(self._best(positive, self.scales), MOMENTUM)
            return
        spread = 2 * positive.mean() / (2**self.bits - 1)
        scales = spread * 2.0 ** torch.arange(self.bits - 1, -1, -1).to(self.scales)
        for _ in range(_ROUNDS):
            scales = self._best(positive, scales)
        self.scales.copy_(scales)

    def _best(self, x: Tensor, scales: Tensor) -> Tensor:
        """The scales that are best for the levels that are nearest with the present ones."""
        levels, order = (self.codes @ scales).sort()
        place = torch.bucketize(x, (levels[1:] + levels[:-1]) / 2)
        codes = self.codes[order].double()
        count = torch.bincount(place, minlength=len(levels)).double()
        sums = torch.bincount(place, x.double(), minlength=len(levels))
        gram = codes.T @ (count[:, None] * codes)
        best = torch.linalg.pinv(gram, hermitian=True) @ (codes.T @ sums)
        smallest = float(scales.max()) * 2.0**-self.bits
        result: Tensor = best.to(scales.dtype).clamp(min=smallest)
        return result


class _Steps(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, thresholds: Tensor, step: float) -> Tensor:
        count = torch.bucketize(x.contiguous(), thresholds[0], right=True)
        ctx.save_for_backward((x >= 0) & (x <= thresholds.shape[1] * step))
        return count.to(x.dtype) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None

    @staticmethod
    def symbolic(g: Any, x: Any, thresholds: Any, step: float) -> Any:
        name = "qonnx.custom_op.general::MultiThreshold"
        y = g.op(name, x, thresholds, out_dtype_s="UINT16", out_scale_f=step)
        y.setType(x.type())
        return y
