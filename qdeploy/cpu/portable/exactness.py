# SPDX-License-Identifier: Apache-2.0
"""Which floating-point type computes with integers exactly.

ONNX Runtime's fast operators take floats. A float32 holds every integer up to 2^24 and a float64
up to 2^53, so a sum is exact, in whatever order it is taken, if the magnitudes of its terms sum to
less than that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import (
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    Reshape,
    Transpose,
    ValueRange,
    Weights,
)

FLOAT32_LIMIT = 2**24
FLOAT64_LIMIT = 2**53
FloatType = type[np.float32] | type[np.float64]


def exact_type(values: ValueRange) -> FloatType:
    """The type of a tensor in the ONNX file: float32 if that holds its integers, else float64."""
    return np.float32 if magnitude(values) < FLOAT32_LIMIT else np.float64


def magnitude(values: ValueRange) -> int:
    """The largest absolute value."""
    return max(abs(values.low), abs(values.high))


def partial_sum_bounds(node: Convolution | Linear, x: ValueRange) -> NDArray[np.float64]:
    """Bound of every partial sum over one input channel's products, [O, I/groups].

    In float64, where a bound beyond 2^53 is rounded but cannot overflow.

    Raises:
        UserError: if an output's bounds sum to 2^53 or more.
    """
    if isinstance(node, Convolution):
        x = x.including(node.pad_code)
    weights = np.abs(node.weights.integers()).astype(np.float64)
    per_channel = weights.reshape(*weights.shape[:2], -1).sum(axis=2)
    bounds: NDArray[np.float64] = per_channel * max(1, magnitude(x))
    require_float64(bounds.sum(axis=1).max(), node.name)
    return bounds


def require_float64(bound: float, layer: str) -> None:
    """Refuse sums that even float64 might round.

    Raises:
        UserError: if `bound` is 2^53 or more.
    """
    if bound >= FLOAT64_LIMIT:
        raise UserError(
            f"partial sums reach {bound:.0f}, float64 is exact below {FLOAT64_LIMIT}",
            layer=layer,
            remedy="use fewer bits for weights, scales or activations",
        )


def sum_bound(network: IntegerNetwork, name: str) -> float:
    """Bound of all partial sums behind tensor `name`, which may exceed the tensor's own range."""
    producer = next((node for node in network.nodes if node.output == name), None)
    if isinstance(producer, (Convolution, Linear)):
        x = network.tensors[producer.input].range
        return float(partial_sum_bounds(producer, x).sum(axis=1).max())
    if isinstance(producer, (Flatten, Reshape, Transpose)):
        return sum_bound(network, producer.input)
    return magnitude(network.tensors[name].range)


def weights_fit_float32(weights: Weights) -> bool:
    """Whether expanding the planes and adding them up stays exact in float32."""
    total: Integers = np.zeros(weights.shape, np.int64)
    for plane in weights.planes:
        total += np.abs(plane.codes.astype(np.int64)) * plane.expanded_multipliers()
    return int(total.max()) < FLOAT32_LIMIT
