# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over a padded tensor."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Array
from qdeploy.rational.registry import Attributes


def pads_of(given: Attributes, axes: int) -> list[tuple[int, int]]:
    """Padding (before, after) of each of the last `axes` axes."""
    pads = list(given.get("pads", [0] * (2 * axes)))
    return list(zip(pads[:axes], pads[axes:], strict=True))


def padded(x: Array, pads: list[tuple[int, int]], fill: Any) -> Array:
    """`pads` for the last axes, the others stay; negative ones cut."""
    widths = [(0, 0)] * (x.ndim - len(pads)) + pads
    kept = tuple(
        slice(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(widths, x.shape, strict=True)
    )
    part = x[kept]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    shape = [size + sum(width) for size, width in zip(part.shape, grown, strict=True)]
    # Not numpy.pad, which fills arrays of Python's integers with numpy's.
    result = np.full(shape, fill, x.dtype)
    inner = zip(grown, part.shape, strict=True)
    result[tuple(slice(before, before + size) for (before, _), size in inner)] = part
    return result


def _automatic(
    given: Attributes, size: int, extent: int, stride: int, pads: tuple[int, int]
) -> tuple[int, int]:
    """Padding of one axis where auto_pad chooses it; SAME: one window per `stride` elements."""
    mode = given.get("auto_pad", b"NOTSET").decode()
    if mode == "NOTSET":
        return pads
    count = math.ceil(Fraction(size, stride))
    total = 0 if mode == "VALID" else max(0, stride * (count - 1) + extent - size)
    smaller, larger = math.floor(Fraction(total, 2)), math.ceil(Fraction(total, 2))
    return (larger, smaller) if mode == "SAME_LOWER" else (smaller, larger)


def windows(given: Attributes, x: Array, kernel: tuple[int, ...], fill: Any) -> Array:
    """[1, C, *inputs] to [C, *outputs, *kernel]: what each output position sees."""
    axes = len(kernel)
    strides = given.get("strides", [1] * axes)
    dilations = given.get("dilations", [1] * axes)
    pads = pads_of(given, axes)
    places = []
    for axis in range(axes):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        pads[axis] = _automatic(given, x.shape[2 + axis], extent, strides[axis], pads[axis])
        inside = x.shape[2 + axis] + sum(pads[axis])
        count = (inside - extent) // strides[axis] + 1
        # One more window, if it starts within the data or the padding before it.
        same = given.get("auto_pad", b"NOTSET").startswith(b"SAME")
        if not same and given.get("ceil_mode", 0) and (inside - extent) % strides[axis]:
            count += count * strides[axis] < x.shape[2 + axis] + pads[axis][0]
        missing = max(0, (count - 1) * strides[axis] + extent - inside)
        pads[axis] = (pads[axis][0], pads[axis][1] + missing)
        place = np.arange(count)[:, np.newaxis] * strides[axis]
        place = place + np.arange(kernel[axis]) * dilations[axis]
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = place.shape
        places.append(place.reshape(shape))
    return padded(x[0], pads, fill)[(slice(None), *places)]
