# SPDX-License-Identifier: Apache-2.0
"""Execute a QONNX graph in rational numbers, one sample, operator by operator.

Written from the operators' specifications with plain loops over arrays of Fractions, and shares no
code with the package: what it says a file computes is the truth that lowering is measured by.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Rationals = NDArray[np.object_]

HALF = Fraction(1, 2)


def execute_exactly(model: onnx.ModelProto, x: NDArray[np.float32]) -> Rationals:
    """The graph's one output for one sample [...] without batch axis, as Fractions.

    Integer tensors (shapes, indices) stay numpy integers.
    """
    graph = model.graph
    values = {t.name: _exact(numpy_helper.to_array(t)) for t in graph.initializer}
    (name,) = (i.name for i in graph.input if i.name not in values)
    values[name] = _exact(np.asarray(x, np.float32)[np.newaxis])
    for node in graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[i] if i else None for i in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](given, *inputs)
    return values[graph.output[0].name]


def _exact(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "f":
        return array
    result = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        result[index] = Fraction(float(array[index]))
    return result


def _elementwise(function: Callable[..., Any], count: int = 1) -> Callable[..., Rationals]:
    """`function` on Fractions as a numpy function that always returns an array."""
    ufunc = np.frompyfunc(function, count, 1)

    def apply(*arrays: Rationals) -> Rationals:
        return np.asarray(ufunc(*arrays), object)

    return apply


def _sign(v: Fraction) -> int:
    return (v > 0) - (v < 0)


ROUNDING: dict[str, Callable[[Fraction], int]] = {
    "ROUND": round,
    "HALF_EVEN": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "UP": lambda v: _sign(v) * math.ceil(abs(v)),
    "DOWN": math.trunc,
    "ROUND_TO_ZERO": math.trunc,
    "HALF_UP": lambda v: _sign(v) * math.floor(abs(v) + HALF),
    "HALF_DOWN": lambda v: _sign(v) * math.ceil(abs(v) - HALF),
}


def quant(given: dict[str, Any], x: Rationals, scale: Any, zero: Any, bits: Any) -> Rationals:
    """QONNX Quant; the public executor makes the signed 1-bit quantizer bipolar."""
    signed, narrow = given.get("signed", 1), given.get("narrow", 0)
    rounding = ROUNDING[given.get("rounding_mode", b"ROUND").decode().upper()]

    def one(v: Fraction, s: Fraction, z: Fraction, b: Fraction) -> Fraction:
        width = int(b)
        code = v / s + z
        if signed and width == 1:
            return ((1 if code >= 0 else -1) - z) * s
        low = -(2 ** (width - 1)) + narrow if signed else 0
        high = 2 ** (width - 1) - 1 if signed else 2**width - 1 - narrow
        return (min(max(rounding(code), low), high) - z) * s

    return _elementwise(one, 4)(x, scale, zero, bits)


def bipolar_quant(given: dict[str, Any], x: Rationals, scale: Rationals) -> Rationals:
    return _elementwise(lambda v, s: s if v >= 0 else -s, 2)(x, scale)


def batch_normalization(
    given: dict[str, Any], x: Rationals, gamma: Any, beta: Any, mean: Any, variance: Any
) -> Rationals:
    """Only for variances whose root is rational."""
    epsilon = Fraction(float(np.float32(given.get("epsilon", 1e-5))))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    root = _elementwise(lambda v: _rational_root(v + epsilon))(variance)
    gamma, beta, mean, root = (p.reshape(shape) for p in (gamma, beta, mean, root))
    return (x - mean) / root * gamma + beta


def _rational_root(v: Fraction) -> Fraction:
    root = Fraction(math.isqrt(v.numerator), math.isqrt(v.denominator))
    assert root * root == v, f"{v} has no rational root"
    return root


def _pads(given: dict[str, Any], axes: int) -> list[tuple[int, int]]:
    pads = list(given.get("pads", [0] * (2 * axes)))
    return list(zip(pads[:axes], pads[axes:], strict=True))


def _padded(x: Rationals, pads: list[tuple[int, int]], fill: Any) -> Rationals:
    """`pads` for the last axes, the others stay."""
    widths = [(0, 0)] * (x.ndim - len(pads)) + pads
    shape = [size + sum(width) for size, width in zip(x.shape, widths, strict=True)]
    result = np.full(shape, fill, object)
    inner = tuple(slice(w[0], w[0] + n) for w, n in zip(widths, x.shape, strict=True))
    result[inner] = x
    return result


def _windows(
    given: dict[str, Any], x: Rationals, kernel: tuple[int, ...], fill: Any
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], Rationals]]]:
    """Output sizes, and for each output position its window [C, *kernel] of the sample x."""
    axes = len(kernel)
    strides = given.get("strides", [1] * axes)
    dilations = given.get("dilations", [1] * axes)
    pads = _pads(given, axes)
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
    data = _padded(x[0], pads, fill)

    def visit() -> Iterator[tuple[tuple[int, ...], Rationals]]:
        for position in itertools.product(*map(range, sizes)):
            parts = tuple(
                slice(p * s, p * s + e, d)
                for p, s, e, d in zip(position, strides, extent, dilations, strict=True)
            )
            yield position, data[(slice(None), *parts)]

    return tuple(sizes), visit()


def conv(given: dict[str, Any], x: Rationals, w: Rationals, bias: Any = None) -> Rationals:
    groups, outputs = given.get("group", 1), w.shape[0]
    sizes, windows = _windows(given, x, w.shape[2:], Fraction(0))
    y = np.empty((1, outputs, *sizes), object)
    matrix = w.reshape(outputs, -1)
    for position, window in windows:
        for group, part in enumerate(np.split(window, groups)):
            rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
            y[(0, rows, *position)] = matrix[rows] @ part.reshape(-1)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * len(sizes))


def gemm(given: dict[str, Any], a: Rationals, b: Rationals, c: Any = None) -> Rationals:
    alpha, beta = (Fraction(float(given.get(name, 1.0))) for name in ("alpha", "beta"))
    a = a.T if given.get("transA", 0) else a
    b = b.T if given.get("transB", 0) else b
    return alpha * (a @ b) + (0 if c is None else beta * c)


def max_pool(given: dict[str, Any], x: Rationals) -> Rationals:
    sizes, windows = _windows(given, x, tuple(given["kernel_shape"]), None)
    y = np.empty((1, x.shape[1], *sizes), object)
    for position, window in windows:
        for channel, values in enumerate(window.reshape(x.shape[1], -1)):
            y[(0, channel, *position)] = max(v for v in values if v is not None)
    return y


def average_pool(given: dict[str, Any], x: Rationals) -> Rationals:
    sizes, windows = _windows(given, x, tuple(given["kernel_shape"]), None)
    y = np.empty((1, x.shape[1], *sizes), object)
    for position, window in windows:
        for channel, values in enumerate(window.reshape(x.shape[1], -1)):
            inside = [v for v in values if v is not None]
            count = len(values) if given.get("count_include_pad", 0) else len(inside)
            y[(0, channel, *position)] = sum(inside) / count
    return y


def global_average_pool(given: dict[str, Any], x: Rationals) -> Rationals:
    axes = tuple(range(2, x.ndim))
    return x.sum(axis=axes, keepdims=True) / Fraction(math.prod(x.shape[2:]))


def reduce_mean(given: dict[str, Any], x: Rationals, axes: Any = None) -> Rationals:
    axes = tuple(given["axes"] if axes is None else axes.tolist())
    axes = tuple(axis % x.ndim for axis in axes)
    count = math.prod(x.shape[axis] for axis in axes)
    return x.sum(axis=axes, keepdims=bool(given.get("keepdims", 1))) / Fraction(count)


def clip(given: dict[str, Any], x: Rationals, low: Any = None, high: Any = None) -> Rationals:
    y = x if low is None else np.maximum(x, low)
    return y if high is None else np.minimum(y, high)


def leaky_relu(given: dict[str, Any], x: Rationals) -> Rationals:
    alpha = Fraction(float(np.float32(given.get("alpha", 0.01))))
    return _elementwise(lambda v: v if v >= 0 else alpha * v)(x)


def flatten(given: dict[str, Any], x: Rationals) -> Rationals:
    return x.reshape(math.prod(x.shape[: given.get("axis", 1)]), -1)


def reshape(given: dict[str, Any], x: Rationals, shape: NDArray[np.int64]) -> Rationals:
    sizes = [
        x.shape[i] if size == 0 and not given.get("allowzero", 0) else int(size)
        for i, size in enumerate(shape)
    ]
    return x.reshape(sizes)


def transpose(given: dict[str, Any], x: Rationals) -> Rationals:
    return x.transpose(given.get("perm"))


def squeeze(given: dict[str, Any], x: Rationals, axes: Any = None) -> Rationals:
    return x.squeeze(tuple(given["axes"] if axes is None else axes.tolist()))


def unsqueeze(given: dict[str, Any], x: Rationals, axes: Any = None) -> Rationals:
    return np.expand_dims(x, tuple(given["axes"] if axes is None else axes.tolist()))


def pad(given: dict[str, Any], x: Rationals, pads: Any, fill: Any = None) -> Rationals:
    return _padded(
        x, _pads({"pads": pads.tolist()}, x.ndim), Fraction(0) if fill is None else fill.item()
    )


def resize(
    given: dict[str, Any], x: Rationals, roi: Any = None, scales: Any = None, sizes: Any = None
) -> Rationals:
    """Nearest neighbour; coordinates are rational too."""
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
            at = Fraction(i) / ratio if mode == "asymmetric" else (i + HALF) / ratio - HALF
            floor = pick == "floor"
            nearest = math.floor(at) if floor else NEAREST[pick](at)
            source.append(min(max(nearest, 0), old - 1))
        x = x.take(source, axis=axis)
    return x


NEAREST: dict[str, Callable[[Fraction], int]] = {
    "ceil": math.ceil,
    "round_prefer_floor": lambda v: math.ceil(v - HALF),
    "round_prefer_ceil": lambda v: math.floor(v + HALF),
}


def depth_to_space(given: dict[str, Any], x: Rationals) -> Rationals:
    block = given["blocksize"]
    _, channels, height, width = x.shape
    depth = channels // block**2
    y = np.empty((1, depth, height * block, width * block), object)
    columns_first = given.get("mode", b"DCR") == b"CRD"
    for c, i, j in itertools.product(range(depth), range(block), range(block)):
        source = (c * block + i) * block + j if columns_first else (i * block + j) * depth + c
        y[0, c, i::block, j::block] = x[0, source]
    return y


def arg_max(given: dict[str, Any], x: Rationals) -> NDArray[np.int64]:
    axis = given.get("axis", 0) % x.ndim
    moved = np.moveaxis(x, axis, -1)
    index = np.empty(moved.shape[:-1], np.int64)
    for position in np.ndindex(index.shape):
        row = list(moved[position])
        index[position] = row.index(max(row))
    return np.expand_dims(index, axis) if given.get("keepdims", 1) else index


def constant(given: dict[str, Any]) -> NDArray[Any]:
    (value,) = given.values()
    return _exact(numpy_helper.to_array(value))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Quant": quant,
    "BipolarQuant": bipolar_quant,
    "BatchNormalization": batch_normalization,
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": lambda given, a, b: a @ b,
    "Add": lambda given, a, b: a + b,
    "Sub": lambda given, a, b: a - b,
    "Mul": lambda given, a, b: a * b,
    "Div": lambda given, a, b: a / b,
    "Neg": lambda given, x: -x,
    "Relu": lambda given, x: np.maximum(x, Fraction(0)),
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Pad": pad,
    "Resize": resize,
    "DepthToSpace": depth_to_space,
    "Concat": lambda given, *parts: np.concatenate(parts, axis=given["axis"]),
    "Identity": lambda given, x: x,
    "Dropout": lambda given, x, *rest: x,
    "Constant": constant,
    "Shape": lambda given, x: np.array(x.shape, np.int64),
    "Gather": lambda given, x, index: np.take(x, index, axis=given.get("axis", 0)),
    "ArgMax": arg_max,
}
