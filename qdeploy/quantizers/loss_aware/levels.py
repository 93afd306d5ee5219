# SPDX-License-Identifier: Apache-2.0
"""The levels of m-bit loss-aware weights: 0 and ±k magnitudes up to 1, k = 2^(m-1) - 1.

A code c of -k .. k counts levels from 0. It means

    linear        c / k
    logarithmic   sign(c) · 2^(|c| - k), and 0 for 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Spacing = Literal["linear", "logarithmic"]


@dataclass(frozen=True)
class Levels:
    """The levels of codes of 2 to 8 bits; with 2 bits they are -1, 0, +1 in both spacings."""

    bits: int
    spacing: Spacing = "linear"

    @property
    def largest(self) -> int:
        """The k above."""
        return (1 << self.bits - 1) - 1

    @property
    def smallest(self) -> float:
        """The smallest positive level."""
        return 1 / self.largest if self.spacing == "linear" else 2.0 ** (1 - self.largest)

    def nearest(self, x: Tensor) -> Tensor:
        """Codes of the nearest levels, int8; one in the middle of two powers goes outwards."""
        x = x.clamp(-1, 1)
        if self.spacing == "linear":
            return (x * self.largest).round().to(torch.int8)
        # |x| = fraction · 2^exponent with a fraction of 1/2 .. 1, whose middle is 3/4. Below the
        # smallest level 2^(1-k), where the next one is 0, it is 1/2.
        fraction, exponent = torch.frexp(x.abs())
        ranks = exponent + self.largest - (fraction < 0.75).to(exponent.dtype)
        ranks = ranks.maximum((exponent > -self.largest).to(exponent.dtype))
        return (x.sign() * ranks).to(torch.int8)

    def values(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """The levels that codes mean."""
        if self.spacing == "linear":
            return codes.to(dtype) / self.largest
        every = torch.arange(-self.largest, self.largest + 1, device=codes.device)
        levels = torch.exp2(every.abs().to(dtype) - self.largest) * every.sign()
        ranks = codes.flatten().int() + self.largest
        return levels.index_select(0, ranks).reshape(codes.shape)

    def integers(self, codes: Tensor) -> Tensor:
        """The levels as multiples of the smallest one, int8 or (logarithmic, 5 bits) int16."""
        if self.spacing == "linear":
            return codes
        assert self.bits <= 5, self.bits
        powers = torch.exp2(codes.abs().float() - 1) * codes.sign()
        return powers.to(torch.int8 if self.bits <= 4 else torch.int16)
