# SPDX-License-Identifier: Apache-2.0
"""Which weights of a layer share bases: four ways to cut [O, I, K...] into groups [G, n]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from qdeploy.errors import UserError

Structure = Literal["kernelwise", "pixelwise", "channelwise", "subchannelwise"]


@dataclass(frozen=True)
class Groups:
    """The groups of one layer.

    - "kernelwise": one output and one input channel; all positions of the kernel.
    - "pixelwise": one output channel and one position of the kernel; all input channels.
    - "channelwise": one output channel.
    - "subchannelwise": one output channel and one of `pieces` blocks of neighbouring inputs.

    Attributes:
        shape: of the weights, [O, I] or [O, I, K...].
        structure: see above.
        pieces: of an output channel, for "subchannelwise".

    Raises:
        UserError: if there is no such structure or the pieces are not equally large.
    """

    shape: tuple[int, ...]
    structure: Structure
    pieces: int = 1

    def __post_init__(self) -> None:
        if self.structure not in get_args(Structure):
            raise UserError(
                f"groups of structure '{self.structure}'",
                remedy=f"use one of {', '.join(get_args(Structure))}",
            )
        if self.pieces < 1 or self.shape[1] % self.pieces:
            raise UserError(
                f"{self.shape[1]} inputs in {self.pieces} pieces",
                remedy="use a number of pieces that divides the inputs of the layer",
            )

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of one scale per group: that of the weights, 1 or pieces where they share it."""
        outputs, inputs, *kernel = self.shape
        ones = (1,) * len(kernel)
        return {
            "kernelwise": (outputs, inputs, *ones),
            "pixelwise": (outputs, 1, *kernel),
            "channelwise": (outputs, 1, *ones),
            "subchannelwise": (outputs, self.pieces, *ones),
        }[self.structure]

    @property
    def size(self) -> int:
        """Weights of one group."""
        return math.prod(self.shape) // math.prod(self.scale_shape)

    def split(self, weights: Tensor) -> Tensor:
        """Weights [O, I, K...] as groups [G, n]."""
        if self.structure == "pixelwise":
            weights = weights.movedim(1, -1)
        return weights.reshape(-1, self.size)

    def joined(self, groups: Tensor) -> Tensor:
        """Groups [G, n] as weights [O, I, K...]."""
        if self.structure != "pixelwise":
            return groups.reshape(self.shape)
        outputs, inputs, *kernel = self.shape
        return groups.reshape(outputs, *kernel, inputs).movedim(-1, 1)
