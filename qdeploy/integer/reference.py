# SPDX-License-Identifier: Apache-2.0
"""The slow, obvious numpy execution that defines what an integer network means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from qdeploy.errors import InternalError
from qdeploy.integer.network import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    Flatten,
    IntegerNetwork,
    Linear,
    Lstm,
    MaxPool,
    Node,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
)
from qdeploy.integer.weights import Integers


def run(network: IntegerNetwork, x: ArrayLike) -> Integers:
    """Real inputs [N, ...] to integer outputs int64 [N, ...]."""
    codes = network.quantizer.quantize(network.check_input(x))
    return run_codes(network, codes)[network.output]


def run_codes(network: IntegerNetwork, codes: Integers) -> dict[str, Integers]:
    """Integer inputs [N, ...] to every tensor of the network, by name, int64.

    Raises:
        InternalError: if a value leaves the range that the range analysis promised.
    """
    values = {network.input: codes.astype(np.int64)}
    for node in network.nodes:
        y = evaluate(node, *(values[name] for name in node.inputs))
        expected = network.tensors[node.output]
        if y.shape[1:] != expected.shape:
            raise InternalError(f"{node.name}: shape {y.shape[1:]}, promised {expected.shape}")
        if y.size and not (expected.range.low <= y.min() and y.max() <= expected.range.high):
            raise InternalError(
                f"{node.name}: values {y.min()}..{y.max()}, promised {expected.range}"
            )
        values[node.output] = y
    return values


def evaluate(node: Node, *inputs: Integers) -> Integers:
    """One operator on int64 [N, ...]."""
    return _EVALUATE[type(node)](node, *inputs)


def windows(
    x: Integers, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> Integers:
    """[N, C, H, W] to [N, C, OH, OW, KH, KW] without copying."""
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    view = sliding_window_view(x, extent, axis=(2, 3))
    return view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def _padded(x: Integers, pads: tuple[int, int, int, int], code: int) -> Integers:
    top, left, bottom, right = pads
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(x, widths, constant_values=code)


def _convolution(node: Convolution, x: Integers) -> Integers:
    padded = _padded(x, node.pads, node.pad_code)
    weights = node.weights.integers()
    outputs, channels, kernel_height, kernel_width = weights.shape
    per_group = outputs // node.groups
    results = []
    for group in range(node.groups):
        part = padded[:, group * channels : (group + 1) * channels]
        view = windows(part, (kernel_height, kernel_width), node.strides, node.dilations)
        group_weights = weights[group * per_group : (group + 1) * per_group]
        columns = view.transpose(0, 2, 3, 1, 4, 5)
        n, height, width = columns.shape[:3]
        rows = columns.reshape(n * height * width, channels * kernel_height * kernel_width)
        product = rows @ group_weights.reshape(per_group, -1).T
        results.append(product.reshape(n, height, width, per_group).transpose(0, 3, 1, 2))
    return np.concatenate(results, axis=1)


def _linear(node: Linear, x: Integers) -> Integers:
    product: Integers = x @ node.weights.integers().T
    return product


def _threshold(node: Threshold, x: Integers) -> Integers:
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    count = np.empty(x.shape, np.int64)
    if len(node.thresholds) == 1:
        count[:] = np.searchsorted(node.thresholds[0], x, side="right")
    else:
        for channel, row in enumerate(node.thresholds):
            count[:, channel] = np.searchsorted(row, x[:, channel], side="right")
    return node.base.reshape(per_channel) + node.step.reshape(per_channel) * count


def _requantize(node: Requantize, x: Integers) -> Integers:
    return node.quotient.of(x, axis=1)


def _max_pool(node: MaxPool, x: Integers) -> Integers:
    padded = _padded(x, node.pads, np.iinfo(np.int64).min)
    result: Integers = windows(padded, node.kernel, node.strides, node.dilations).max(axis=(4, 5))
    return result


def _sum_pool(node: SumPool, x: Integers) -> Integers:
    padded = _padded(x, node.pads, 0)
    result: Integers = windows(padded, node.kernel, node.strides, (1, 1)).sum(axis=(4, 5))
    return result


def _add(node: Add, *inputs: Integers) -> Integers:
    total = np.zeros_like(inputs[0])
    for multiplier, x in zip(node.multipliers, inputs, strict=True):
        total += multiplier * x
    return total


def _concat(node: Concat, *inputs: Integers) -> Integers:
    return np.concatenate(inputs, axis=1)


def _pad(node: Pad, x: Integers) -> Integers:
    return _padded(x, node.pads, node.pad_code)


def _upsample(node: Upsample, x: Integers) -> Integers:
    return x.repeat(node.factors[0], axis=2).repeat(node.factors[1], axis=3)


def _slice(node: Slice, x: Integers) -> Integers:
    return x[(slice(None), *map(slice, node.starts, node.stops, node.steps))]


def _reshape(node: Reshape, x: Integers) -> Integers:
    return x.reshape(len(x), *node.shape)


def _transpose(node: Transpose, x: Integers) -> Integers:
    return x.transpose(0, *(axis + 1 for axis in node.order))


def _flatten(node: Flatten, x: Integers) -> Integers:
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def _embedding(node: Embedding, x: Integers) -> Integers:
    return node.table[x]


def _lstm(node: Lstm, x: Integers) -> Integers:
    return node.layer.run(x.swapaxes(0, 1))[0].swapaxes(0, 1)


def _arg_max(node: ArgMax, x: Integers) -> Integers:
    order: Integers = np.argsort(-x, axis=1, kind="stable").astype(np.int64)
    return order[:, : node.count]


_EVALUATE: dict[type[Node], Callable[..., Integers]] = {
    Convolution: _convolution,
    Linear: _linear,
    Threshold: _threshold,
    Requantize: _requantize,
    MaxPool: _max_pool,
    SumPool: _sum_pool,
    Add: _add,
    Concat: _concat,
    Pad: _pad,
    Upsample: _upsample,
    Slice: _slice,
    Reshape: _reshape,
    Transpose: _transpose,
    Flatten: _flatten,
    Embedding: _embedding,
    Lstm: _lstm,
    ArgMax: _arg_max,
}
