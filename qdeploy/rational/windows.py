# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over a padded tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Rationals
from qdeploy.rational.registry import Attributes


def pads_of(given: Attributes, axes: int) -> list[tuple[int, int]]:
    """Padding (before, after) of each of the last `axes` axes."""
    pads = list(given.get("pads", [0] * (2 * axes)))
    return list(zip(pads[:axes], pads[axes:], strict=True))


def padded(x: Rationals, pads: list[tuple[int, int]], fill: Any) -> Rationals:
    """`pads` for the last axes, the others stay."""
    widths = [(0, 0)] * (x.ndim - len(pads)) + pads
    shape = [size + sum(width) for size, width in zip(x.shape, widths, strict=True)]
    result = np.full(shape, fill, object)
    inner = tuple(slice(w[0], w[0] + n) for w, n in zip(widths, x.shape, strict=True))
    result[inner] = x
    return result


def windows(
    given: Attributes, x: Rationals, kernel: tuple[int, ...], fill: Any
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], Rationals]]]:
    """Output sizes, and for each output position its window [C, *kernel] of the sample x."""
    axes = len(kernel)
    strides = given.get("strides", [1] * axes)
    dilations = given.get("dilations", [1] * axes)
    pads = pads_of(given, axes)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = []
    for axis in range(axes):
        inside = x.shape[2 + axis] + sum(pads[axis])
        count = (inside - extent[axis]) // strides[axis] + 1
        # One more window, if it starts within the data or the padding before it.
        if given.get("ceil_mode", 0) and (inside - extent[axis]) % strides[axis]:
            count += count * strides[axis] < x.shape[2 + axis] + pads[axis][0]
        sizes.append(count)
        missing = max(0, (count - 1) * strides[axis] + extent[axis] - inside)
        pads[axis] = (pads[axis][0], pads[axis][1] + missing)
    data = padded(x[0], pads, fill)

    def visit() -> Iterator[tuple[tuple[int, ...], Rationals]]:
        for position in itertools.product(*map(range, sizes)):
            parts = tuple(
                slice(p * s, p * s + e, d)
                for p, s, e, d in zip(position, strides, extent, dilations, strict=True)
            )
            yield position, data[(slice(None), *parts)]

    return tuple(sizes), visit()
