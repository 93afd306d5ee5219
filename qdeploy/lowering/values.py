# SPDX-License-Identifier: Apache-2.0
"""What the forward walk knows of each tensor of the source file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.lowering.exact import Fractions


@dataclass(frozen=True, eq=False)
class Constant:
    """A known array, as in the file."""

    array: NDArray[Any]


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant behind a quantizer: real value = scale · code.

    `scale` broadcasts to `codes`; its shape says the granularity ([1, 1, K, K]: per pixel).
    """

    codes: NDArray[np.int32]
    scale: Fractions


@dataclass(frozen=True, eq=False)
class RealInput:
    """The network's real input before its first quantizer: scale · x + offset.

    `shape` is the present one, without the batch axis; only flattening changes it.
    """

    shape: tuple[int, ...]
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)


@dataclass(frozen=True, eq=False)
class Activation:
    """An integer tensor with pending real meaning: scale · integer + offset, then Relu if set.

    `scale` and `offset` hold one Fraction for the tensor or one per channel (axis 0 of `shape`).
    """

    tensor: str
    shape: tuple[int, ...]
    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...] = (Fraction(0),)
    relu: bool = False


Value = Constant | QuantizedConstant | RealInput | Activation
