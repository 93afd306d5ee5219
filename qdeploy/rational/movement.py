# SPDX-License-Identifier: Apache-2.0
"""Operators that move, repeat and pick elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from qdeploy.rational.arrays import HALF, Array, Rationals, exact
from qdeploy.rational.registry import Attributes, operator
from qdeploy.rational.windows import padded, pads_of

NEAREST: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda v: math.ceil(v - HALF),
    "round_prefer_ceil": lambda v: math.floor(v + HALF),
}


@operator("Flatten")
def flatten(given: Attributes, x: Rationals) -> Rationals:
    """ONNX Flatten 1..13."""
    return x.reshape(math.prod(x.shape[: given.get("axis", 1)]), -1)


@operator("Reshape")
def reshape(given: Attributes, x: Rationals, shape: NDArray[np.int64]) -> Rationals:
    """ONNX Reshape 5..14."""
    sizes = [
        x.shape[i] if size == 0 and not given.get("allowzero", 0) else int(size)
        for i, size in enumerate(shape)
    ]
    return x.reshape(sizes)


@operator("Transpose")
def transpose(given: Attributes, x: Rationals) -> Rationals:
    """ONNX Transpose 1..13."""
    return x.transpose(given.get("perm"))


@operator("Squeeze")
def squeeze(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX Squeeze 1..13."""
    return x.squeeze(tuple(given["axes"] if axes is None else axes.tolist()))


@operator("Unsqueeze")
def unsqueeze(given: Attributes, x: Rationals, axes: Any = None) -> Rationals:
    """ONNX Unsqueeze 1..13."""
    return np.expand_dims(x, tuple(given["axes"] if axes is None else axes.tolist()))


@operator("Pad")
def pad(given: Attributes, x: Rationals, pads: Any, fill: Any = None) -> Rationals:
    """ONNX Pad 11..13 with a constant."""
    return padded(
        x, pads_of({"pads": pads.tolist()}, x.ndim), Fraction(0) if fill is None else fill.item()
    )


@operator("Resize")
def resize(
    given: Attributes, x: Rationals, roi: Any = None, scales: Any = None, sizes: Any = None
) -> Rationals:
    """ONNX Resize 11..13, nearest neighbour; coordinates are rational too."""
    assert given.get("mode", b"nearest") == b"nearest"
    if sizes is None:
        sizes = [math.floor(n * s) for n, s in zip(x.shape, scales, strict=True)]
    mode = given.get("coordinate_transformation_mode", b"half_pixel").decode()
    pick = given.get("nearest_mode", b"round_prefer_floor").decode()
    for axis, new in enumerate(sizes):
        old = x.shape[axis]
        ratio = Fraction(int(new), old)
        source = []
        for i in range(int(new)):
            if mode == "asymmetric":
                at = Fraction(i) / ratio
            elif mode == "align_corners":
                at = Fraction(i * (old - 1), max(1, int(new) - 1))
            elif mode == "tf_half_pixel_for_nn":
                at = (i + HALF) / ratio
            elif mode == "pytorch_half_pixel" and new == 1:
                at = Fraction(0)
            else:
                assert mode in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
                at = (i + HALF) / ratio - HALF
            source.append(min(max(NEAREST[pick](at), 0), old - 1))
        x = x.take(source, axis=axis)
    return x


@operator("Upsample")
def upsample(given: Attributes, x: Rationals, scales: Any = None) -> Rationals:
    """ONNX Upsample 7..9, nearest neighbour: position i shows floor(i / scale)."""
    modes = {"coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    scales = given["scales"] if scales is None else scales.tolist()
    result: Rationals = resize({**given, **modes}, x, scales=[Fraction(s) for s in scales])
    return result


@operator("DepthToSpace")
def depth_to_space(given: Attributes, x: Rationals) -> Rationals:
    """ONNX DepthToSpace 1..13."""
    block = given["blocksize"]
    _, channels, height, width = x.shape
    depth = channels // block**2
    y = np.empty((1, depth, height * block, width * block), object)
    columns_first = given.get("mode", b"DCR") == b"CRD"
    for c, i, j in itertools.product(range(depth), range(block), range(block)):
        source = (c * block + i) * block + j if columns_first else (i * block + j) * depth + c
        y[0, c, i::block, j::block] = x[0, source]
    return y


@operator("Concat")
def concat(given: Attributes, *parts: Array) -> Array:
    """ONNX Concat 4..13."""
    return np.concatenate(parts, axis=given["axis"])


@operator("Gather")
def gather(given: Attributes, x: Array, index: Array) -> Array:
    """ONNX Gather 1..13."""
    return np.asarray(np.take(x, index.astype(np.int64), axis=given.get("axis", 0)))


@operator("OneHot")
def one_hot(given: Attributes, index: Array, depth: Array, values: Array) -> Array:
    """ONNX OneHot 9..11 along the last axis."""
    assert given.get("axis", -1) == -1
    off, on = exact(values.astype(np.float64))
    chosen = index.astype(np.int64)[..., np.newaxis] == np.arange(int(depth.item()))
    return np.asarray(np.where(chosen, on, off))


@operator("Cast")
def cast(given: Attributes, x: Array) -> Array:
    """ONNX Cast 6..21 to float32, of small integers."""
    assert given["to"] == TensorProto.FLOAT
    return x


@operator("Shape")
def shape(given: Attributes, x: Array) -> NDArray[np.int64]:
    """ONNX Shape 1..13."""
    return np.array(x.shape, np.int64)


@operator("Identity", "Dropout")
def identity(given: Attributes, x: Array, *rest: Any) -> Array:
    """ONNX Identity 1..16 and Dropout 7..13 in inference."""
    return x
