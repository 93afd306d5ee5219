# SPDX-License-Identifier: Apache-2.0
"""Integer tensors: a shape, an exact value range and an exact meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import InternalError
from qdeploy.integer.weights import Integers, signed_bits


@dataclass(frozen=True)
class ValueRange:
    """Smallest and largest integer a tensor can hold, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InternalError(f"empty value range {self.low}..{self.high}")

    @property
    def signed(self) -> bool:
        """Whether negative values occur."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Width of the smallest integer type, two's complement where `signed`."""
        return signed_bits(self.low, self.high) if self.signed else max(1, self.high.bit_length())

    def including(self, value: int) -> ValueRange:
        """The smallest range that also holds `value`."""
        return ValueRange(min(self.low, value), max(self.high, value))

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@dataclass(frozen=True)
class Meaning:
    """What an integer stands for: real value = scale · integer + offset, exactly.

    Both tuples have length 1 (one for the tensor) or one entry per index of `axis` (usually 0,
    the channels) of the shape. Behind moves that mix channels, `block` holds the entry of each
    element: int64, as many axes as the shape, repeated along them up to the shape.
    """

    scale: tuple[Fraction, ...] = (Fraction(1),)
    offset: tuple[Fraction, ...] = (Fraction(0),)
    axis: int = 0
    block: Integers | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tensor:
    """One tensor of the network; `shape` has no batch axis and channels first: [C, H, W] or [C]."""

    name: str
    shape: tuple[int, ...]
    range: ValueRange
    meaning: Meaning = Meaning()

    @property
    def channels(self) -> int:
        """Length of axis 0."""
        return self.shape[0]

    def affine(self) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """Scale and offset, Fractions that broadcast to the shape."""
        scale, offset = (
            np.array(values, object) for values in (self.meaning.scale, self.meaning.offset)
        )
        if self.meaning.block is None:
            trailing = (1,) * (len(self.shape) - 1 - self.meaning.axis)
            return scale.reshape(-1, *trailing), offset.reshape(-1, *trailing)
        counts = [n // k for n, k in zip(self.shape, self.meaning.block.shape, strict=True)]
        return (
            np.tile(scale[self.meaning.block], counts),
            np.tile(offset[self.meaning.block], counts),
        )
