# SPDX-License-Identifier: Apache-2.0
"""Rounded quotients n / d, d > 0, with integers alone: Python ints or int64 arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdeploy.integer.weights import Integers

# float64 arithmetic rounds quotients with smaller numerators to the right integer, in every way.
FLOAT64_NUMERATORS = 1 << 52
INT64_NUMERATORS = 1 << 62


def _down(n: Any, d: Any) -> Any:
    return n // d + ((n < 0) & (n % d != 0))


def _up(n: Any, d: Any) -> Any:
    return n // d + ((n > 0) & (n % d != 0))


def _half_even(n: Any, d: Any) -> Any:
    whole = (2 * n + d) // (2 * d)
    return whole - (_is_tie(n, d) & (whole % 2 == 1))


def _half_up(n: Any, d: Any) -> Any:
    return (2 * n + d) // (2 * d) - (_is_tie(n, d) & (n < 0))


def _half_down(n: Any, d: Any) -> Any:
    return (2 * n + d) // (2 * d) - (_is_tie(n, d) & (n > 0))


def _is_tie(n: Any, d: Any) -> Any:
    return (2 * n + d) % (2 * d) == 0


# By the names of QONNX: UP and HALF_UP go away from zero, DOWN and HALF_DOWN towards it.
ROUNDED_QUOTIENT: dict[str, Callable[[Any, Any], Any]] = {
    "HALF_EVEN": _half_even,
    "FLOOR": lambda n, d: n // d,
    "CEIL": lambda n, d: -(-n // d),
    "DOWN": _down,
    "UP": _up,
    "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}


@dataclass(frozen=True, eq=False)
class Quotient:
    """clip(rounding((multiplier · x + addend) / divisor), low, high), for one or each channel.

    Attributes:
        multiplier, addend, divisor: int64 [C or 1] each, divisor > 0.
        low, high: int64 [C or 1].
        rounding: a name in `ROUNDED_QUOTIENT`.
    """

    multiplier: Integers
    addend: Integers
    divisor: Integers
    low: Integers
    high: Integers
    rounding: str

    @property
    def parameters(self) -> tuple[Integers, ...]:
        """All arrays."""
        return self.multiplier, self.addend, self.divisor, self.low, self.high

    def of(self, x: Integers, axis: int = 0) -> Integers:
        """The integers for x int64 [..., C, ...], channels along `axis`; none may overflow."""
        shape = (-1, *(1,) * (x.ndim - 1 - axis))
        p, q, d, low, high = (values.reshape(shape) for values in self.parameters)
        rounded: Integers = np.clip(ROUNDED_QUOTIENT[self.rounding](p * x + q, d), low, high)
        return rounded

    def numerator_bound(self, magnitude: int) -> int:
        """Bound of 2 · |multiplier · x + addend| + divisor for |x| <= magnitude."""
        rows = np.stack(np.broadcast_arrays(self.multiplier, self.addend, self.divisor), axis=1)
        bounds: list[int] = [2 * (abs(p) * magnitude + abs(q)) + d for p, q, d in rows.tolist()]
        return max(bounds)
