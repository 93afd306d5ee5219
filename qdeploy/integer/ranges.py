# SPDX-License-Identifier: Apache-2.0
"""Exact value ranges: from the codes, not only from the bit widths."""

from __future__ import annotations

import numpy as np

from qdeploy.errors import InternalError
from qdeploy.integer.network import Add, Convolution, Linear, Requantize, SumPool, Threshold
from qdeploy.integer.tensors import ValueRange
from qdeploy.integer.weights import Integers


def accumulator_bounds(node: Convolution | Linear, x: ValueRange) -> tuple[Integers, Integers]:
    """Smallest and largest sum of each output channel, int64 [O] each.

    Both are attained: by the input that takes, at every weight, the end of `x` that fits the
    weight's sign. Padded positions hold `pad_code`, which is taken into the input's range.
    """
    if isinstance(node, Convolution) and any(node.pads):
        x = x.including(node.pad_code)
    weights = node.weights.integers().reshape(node.weights.shape[0], -1)
    positive = np.maximum(weights, 0).sum(axis=1)
    negative = np.minimum(weights, 0).sum(axis=1)
    return positive * x.low + negative * x.high, positive * x.high + negative * x.low


def accumulator_range(node: Convolution | Linear, x: ValueRange) -> ValueRange:
    """Range of the whole output tensor; it fixes the accumulator width."""
    low, high = accumulator_bounds(node, x)
    return ValueRange(int(low.min()), int(high.max()))


def sum_pool_range(node: SumPool, x: ValueRange) -> ValueRange:
    """Range of sums over windows; at the border a window may hold fewer values."""
    size = node.kernel[0] * node.kernel[1]
    full = ValueRange(size * x.low, size * x.high)
    return full.including(0) if any(node.pads) else full


def add_range(node: Add, inputs: list[ValueRange]) -> ValueRange:
    """Range of a weighted sum of independent branches."""
    ends = [
        sorted((multiplier * x.low, multiplier * x.high))
        for multiplier, x in zip(node.multipliers, inputs, strict=True)
    ]
    return ValueRange(sum(low for low, _ in ends), sum(high for _, high in ends))


def threshold_range(node: Threshold) -> ValueRange:
    """Range of a threshold's output, over all channels."""
    last = node.base + node.step * node.thresholds.shape[1]
    return ValueRange(
        int(np.minimum(node.base, last).min()), int(np.maximum(node.base, last).max())
    )


def requantize_range(node: Requantize, x: ValueRange) -> ValueRange:
    """Range over all channels; it is attained, since rounding and clipping keep the order.

    Raises:
        InternalError: if a divisor is not positive.
    """
    if (node.quotient.divisor < 1).any():
        raise InternalError(f"{node.name}: divisors must be positive")
    codes = node.quotient.of(np.array([[x.low, x.high]]))
    return ValueRange(int(codes.min()), int(codes.max()))
