# SPDX-License-Identifier: Apache-2.0
"""Weights that keep their structure: a sum of planes, each a code times an integer multiplier.

    W[o, i, ky, kx] = Σ_b multiplier_b[group(o, i, ky, kx)] · code_b[o, i, ky, kx]

One type covers layer-, row- and pixel-wise SYQ scales, per-channel scales, two scales for ±, m-bit
codes and multi-bit bases. The common rational factor of all multipliers is not here: it is part of
the scale of the output tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError

Integers = NDArray[np.int64]
Codes = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Plane:
    """One code tensor of the sum.

    Attributes:
        codes: small integers, shape [O, I] (linear) or [O, I/groups, KH, KW] (convolution).
        multipliers: int64, non-negative, broadcastable to the shape of `codes`;
            for example [1, 1, KH, KW] for pixel-wise scales, [1, 1, 1, 1] for none. Along axis 1,
            each may also stand for a group of neighbouring input channels: [O, I/group].
    """

    codes: Codes
    multipliers: Integers

    def __post_init__(self) -> None:
        shape, own = self.codes.shape, self.multipliers.shape
        if len(own) == len(shape) and own[1] and shape[1] % own[1] == 0:
            own = (own[0], 1, *own[2:])
        if np.broadcast_shapes(shape, own) != shape:
            raise InternalError(
                f"multipliers {self.multipliers.shape} do not broadcast to codes {self.codes.shape}"
            )
        if self.multipliers.min(initial=0) < 0:
            raise InternalError("multipliers must not be negative: the sign belongs to the codes")

    @cached_property
    def kind(self) -> str:
        """The code book: "binary" {-1, +1}, "ternary" {-1, 0, +1} or "int<bits>" (signed)."""
        low, high = int(self.codes.min(initial=0)), int(self.codes.max(initial=0))
        if low >= -1 and high <= 1:
            return "ternary" if (self.codes == 0).any() else "binary"
        return f"int{signed_bits(low, high)}"

    @property
    def code_bits(self) -> int:
        """Bits that one code takes in two's complement (binary: 1, ternary: 2)."""
        if self.kind == "binary":
            return 1
        return 2 if self.kind == "ternary" else int(self.kind.removeprefix("int"))

    @property
    def group(self) -> int:
        """How many neighbouring input channels share a multiplier that others do not have."""
        grouped = self.multipliers.ndim == self.codes.ndim and self.multipliers.shape[1] > 1
        return self.codes.shape[1] // self.multipliers.shape[1] if grouped else 1

    def expanded_multipliers(self) -> Integers:
        """The multipliers, broadcastable to the codes."""
        return self.multipliers.repeat(self.group, axis=1) if self.group > 1 else self.multipliers

    def aligned_multipliers(self) -> Integers:
        """The multipliers with as many axes as the codes."""
        missing = self.codes.ndim - self.multipliers.ndim
        return self.multipliers.reshape((1,) * missing + self.multipliers.shape)

    @property
    def is_scaled(self) -> bool:
        """Whether a multiplier other than 1 is left inside the sum."""
        return bool((self.multipliers != 1).any())


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one layer as a sum of planes of equal shape."""

    planes: tuple[Plane, ...]

    def __post_init__(self) -> None:
        if len({plane.codes.shape for plane in self.planes}) != 1:
            raise InternalError("the planes of a layer must have one shape")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every plane's codes."""
        return self.planes[0].codes.shape

    @property
    def is_scaled(self) -> bool:
        """Whether any plane keeps multipliers inside the sum."""
        return any(plane.is_scaled for plane in self.planes)

    def integers(self) -> Integers:
        """The expanded integer weights, int64, shape of the codes."""
        total = np.zeros(self.shape, np.int64)
        for plane in self.planes:
            total += plane.codes.astype(np.int64) * plane.expanded_multipliers()
        return total

    def describe(self) -> str:
        """For people: "ternary x 9 multipliers of 8 bits" and the like."""
        parts = []
        for plane in self.planes:
            text = plane.kind
            if plane.is_scaled:
                count, bits = plane.multipliers.size, int(plane.multipliers.max()).bit_length()
                text += f" × {count} multipliers of {bits} bits"
            parts.append(text)
        return " + ".join(parts)


def signed_bits(low: int, high: int) -> int:
    """Bits of the smallest two's complement integer that holds `low`..`high`."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1
