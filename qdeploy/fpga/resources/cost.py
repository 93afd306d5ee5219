# SPDX-License-Identifier: Apache-2.0
"""Amounts of the four resources that a design can run out of."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """What a piece of a design takes.

    Attributes:
        lut: LUT sites, as `qdeploy.fpga.sites` packs them, and LUTs used as memory.
        ff: flip-flops.
        bram36: 36 kbit block RAMs; one of 18 kbit is a half.
        dsp: DSP slices.
    """

    lut: float = 0
    ff: float = 0
    bram36: float = 0
    dsp: float = 0

    def plus(self, other: Cost) -> Cost:
        """The sum."""
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))
