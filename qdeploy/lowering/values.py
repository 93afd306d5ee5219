# SPDX-License-Identifier: Apache-2.0
"""What the forward walk knows of each tensor of the source file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import Integers
from qdeploy.lowering.exact import Fractions
from qdeploy.lowering.monotone import Channelwise, Rising


@dataclass(frozen=True, eq=False)
class Constant:
    """A known array, as in the file."""

    array: NDArray[Any]


@dataclass(frozen=True, eq=False)
class ScaledCodes:
    """What a quantizer makes of a constant: real value = scale · code.

    `scale` broadcasts to `codes`; its shape says the granularity ([1, 1, K, K]: per pixel).
    """

    codes: NDArray[np.int32]
    scale: Fractions

    @property
    def real(self) -> Fractions:
        """The real values, exactly."""
        products: Fractions = self.codes.astype(object) * self.scale
        return products

    @property
    def spread_scale(self) -> Fractions:
        """The scale with as many axes as the codes."""
        missing = self.codes.ndim - self.scale.ndim
        return self.scale.reshape((1,) * missing + self.scale.shape)


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant behind a quantizer, or the sum of several: multi-bit weights, one plane per bit.

    All planes have the same shape.
    """

    planes: tuple[ScaledCodes, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every plane's codes."""
        return self.planes[0].codes.shape

    @property
    def real(self) -> Fractions:
        """The real values, exactly."""
        total: Fractions = sum((plane.real for plane in self.planes[1:]), self.planes[0].real)
        return total

    def each(self, change: Callable[[ScaledCodes], ScaledCodes]) -> QuantizedConstant:
        """The sum of the changed planes."""
        return QuantizedConstant(tuple(map(change, self.planes)))

    def viewed(self, view: Callable[[NDArray[Any]], NDArray[Any]]) -> QuantizedConstant:
        """The same with other axes: what `view` makes of codes and of scales of as many axes."""
        return self.each(lambda plane: ScaledCodes(view(plane.codes), view(plane.spread_scale)))


# A transposition (order, shape behind it) or a change of shape (None, shape).
Move = tuple[tuple[int, ...] | None, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class RealInput:
    """The network's real input before its first quantizer: scale · x + offset.

    Attributes:
        shape: the present one, without the batch axis.
        scale, offset: see above.
        moves: what happened to its shape on the way here.
        functions: rising functions that wait for the first quantizer, first to last; one each.
    """

    shape: tuple[int, ...]
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    moves: tuple[Move, ...] = ()
    functions: tuple[Channelwise, ...] = ()


@dataclass(frozen=True, eq=False)
class Activation:
    """An integer tensor with pending real meaning: scale · integer + offset, then `functions`.

    Attributes:
        tensor: name in the integer network.
        shape: without the batch axis.
        scale: one Fraction for the tensor, or one per index of `axis`.
        offset: likewise.
        axis: the axis of `shape` along which scale, offset and functions vary.
        functions: rising functions that wait for the next quantizer, first to last.
        block: as in `Meaning`, at the network's output only.
    """

    tensor: str
    shape: tuple[int, ...]
    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...] = (Fraction(0),)
    axis: int = 0
    functions: tuple[Channelwise, ...] = ()
    block: Integers | None = None

    @property
    def channels(self) -> int:
        """How many different scales, offsets or functions there may be."""
        return max(len(self.scale), len(self.offset), *map(len, self.functions), 1)

    @property
    def uniform(self) -> bool:
        """Whether one scale, one offset and one function each serve the whole tensor."""
        return self.channels == 1

    def functions_of(self, channel: int) -> list[Rising]:
        """The functions of one index of `axis`, first to last."""
        return [function[channel % len(function)] for function in self.functions]

    def real(self, integer: int) -> list[Fraction]:
        """What `integer` means in each channel, before `functions`."""
        return [
            self.scale[c % len(self.scale)] * integer + self.offset[c % len(self.offset)]
            for c in range(self.channels)
        ]


@dataclass(frozen=True, eq=False)
class Mixed:
    """An activation whose scales no longer vary along one axis behind the moves.

    Attributes:
        source: the activation before them.
        moves: they wait for the next quantizer; at least one.
    """

    source: Activation
    moves: tuple[Move, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The present one, without the batch axis."""
        return self.moves[-1][1]


Value = Constant | QuantizedConstant | RealInput | Activation | Mixed
