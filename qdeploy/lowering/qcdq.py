# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear, Clip, DequantizeLinear: the quantizers of plain ONNX (QCDQ, QDQ).

The codes c between the two mean themselves; c = k + zero point with k counted from the zero point:

    scale · (c - zero point)  =  scale · k
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.integer import Meaning, ValueRange
from qdeploy.lowering.activations import THRESHOLD_BITS, quantize_channels
from qdeploy.lowering.affine import per_axis, scaled
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import fractions
from qdeploy.lowering.functions import limits
from qdeploy.lowering.levels import Quantizer, WideQuantizer, code_range, half_even, rounded
from qdeploy.lowering.quantizers import NO_ZERO_POINT, constant_codes, scale_of
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant, ScaledCodes, Value
from qdeploy.lowering.walk import Walk, handles

# ONNX has wider integers for DequantizeLinear only.
QUANTIZE_LINEAR_BITS = 16
_TYPES = {
    f"{kind}{bits}": code_range(bits, signed=kind == "int", narrow=False)
    for kind in ("int", "uint")
    for bits in (4, 8, 16, 32)
}


@handles("QuantizeLinear")
def quantize_linear(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX QuantizeLinear 10..21 to integers: saturate(round_half_even(x / scale) + zero point)."""
    value = walk.value(node)
    scale, zero_point = _parameters(walk, node, value)
    codes = _code_type(walk, node)
    if codes.bits > QUANTIZE_LINEAR_BITS:
        raise _unsupported(node, f"to {codes.bits} bits")
    if isinstance(value, Constant):
        reach = ValueRange(codes.low - int(zero_point.max()), codes.high - int(zero_point.min()))
        counted = constant_codes(value.array, scale, NO_ZERO_POINT, reach, half_even, node).codes
        saturated = np.clip(counted + zero_point.astype(np.int64), codes.low, codes.high)
        return Constant(saturated.astype(np.int32))
    codes = _clipped(walk, node, codes)
    return quantize_channels(
        walk, node, value, lambda s, z: _quantizer(codes, s, int(z)), scale, zero_point
    )


@handles("DequantizeLinear")
def dequantize_linear(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX DequantizeLinear 10..21 of integers: scale · (x - zero point)."""
    value = walk.value(node)
    scale, zero_point = _parameters(walk, node, value)
    if isinstance(value, Constant):
        if value.array.dtype.name not in _TYPES:
            raise _unsupported(node, f"of a constant of type {value.array.dtype}")
        codes = value.array.astype(np.int64) - zero_point
        if codes.shape != value.array.shape or (codes != codes.astype(np.int32)).any():
            raise _unsupported(node, f"with zero point {zero_point.ravel()[0]}")
        plane = ScaledCodes(codes.astype(np.int32), np.atleast_1d(fractions(scale)))
        return QuantizedConstant((plane,))
    if not isinstance(value, Activation) or not _is_code(value):
        raise _unsupported(node, "of values that no QuantizeLinear made")
    factor, axis = per_axis(scale, value.shape, node)
    zeros, other = per_axis(zero_point, value.shape, node)
    count = max(len(factor), len(zeros))
    shift = tuple(-zeros[c % len(zeros)] * factor[c % len(factor)] for c in range(count))
    y = scaled(value, factor, shift, axis if len(factor) > 1 else other, node)
    if not y.functions:
        walk.builder.set_meaning(y.tensor, Meaning(y.scale, y.offset, y.axis))
    return y


def _quantizer(codes: ValueRange, scale: Fraction, zero_point: int) -> Quantizer | WideQuantizer:
    """Rounds before it adds the zero point: ties go to the even k, not to the even code."""
    counted = ValueRange(codes.low - zero_point, codes.high - zero_point)
    if codes.bits > THRESHOLD_BITS:
        zero = Fraction(0)
        return WideQuantizer(counted, scale, zero, "HALF_EVEN", Fraction(1), Fraction(zero_point))
    halves, included = half_even(np.arange(counted.low + 1, counted.high + 1))
    plain = rounded(counted, halves, included, scale)
    return replace(plain, scale=Fraction(1), offset=Fraction(zero_point))


def _parameters(
    walk: Walk, node: onnx.NodeProto, value: Value
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Scale and zero point, shaped so that they broadcast to `value` (with its batch axis)."""
    if isinstance(value, QuantizedConstant):
        raise _unsupported(node, "of a constant that is quantized already")
    computed = not isinstance(value, Constant)
    shape = value.array.shape if isinstance(value, Constant) else (1, *value.shape)
    given = attributes(node)
    axis, block = given.get("axis", 1), given.get("block_size", 0)
    scale, zero_point = walk.array(node, 1), np.zeros((), np.uint8)
    if len(node.input) > 2 and node.input[2]:
        zero_point = walk.array(node, 2)
    if zero_point.dtype.name not in _TYPES or scale.dtype.kind != "f":
        raise _unsupported(node, f"with {scale.dtype} scale and {zero_point.dtype} zero point")
    if block:
        blocks = [size // block if k == axis % len(shape) else size for k, size in enumerate(shape)]
        whole = shape[axis] % block == 0 and zero_point.shape in ((), scale.shape)
        if computed or scale.shape != tuple(blocks) or not whole:
            raise _unsupported(node, f"of {shape} with {scale.shape} scales in blocks of {block}")
        scale_of(walk, node, 1)
        zeros = np.broadcast_to(zero_point.astype(np.int64), scale.shape)
        return scale.repeat(block, axis), zeros.repeat(block, axis)
    for array in (scale, zero_point):
        if array.size == 1:
            continue
        batch = computed and axis % len(shape) == 0
        if array.ndim != 1 or array.size != shape[axis] or batch:
            raise _unsupported(node, f"of {shape} with {array.shape} scales along axis {axis}")
    scale = scale_of(walk, node, 1)
    place = [1] * len(shape)
    if max(scale.size, zero_point.size) > 1:
        place[axis] = -1
    return scale.reshape(place), zero_point.astype(np.int64).reshape(place)


def _code_type(walk: Walk, node: onnx.NodeProto) -> ValueRange:
    """All integers of the type of the zero point, or of the attribute; uint8 without both."""
    if len(node.input) > 2 and node.input[2]:
        return _TYPES[walk.array(node, 2).dtype.name]
    kind = attributes(node).get("output_dtype", 0) or onnx.TensorProto.UINT8
    name = onnx.TensorProto.DataType.Name(kind).lower()
    if name not in _TYPES:
        raise _unsupported(node, f"to type {name}")
    return _TYPES[name]


def _clipped(walk: Walk, node: onnx.NodeProto, codes: ValueRange) -> ValueRange:
    """The codes that are left where the only readers are Clips with the same constant limits."""
    readers = walk.source.readers.get(node.output[0], [])
    known = all(
        reader.op_type == "Clip" and all(name in walk.values for name in reader.input[1:] if name)
        for reader in readers
    )
    found = {limits(walk, reader) for reader in readers} if known else set()
    if len(found) != 1 or node.output[0] == walk.source.output:
        return codes
    (clip,) = found
    low, high = Fraction(codes.low), Fraction(codes.high)
    low = low if clip.low is None else max(clip.low, low)
    high = high if clip.high is None else min(clip.high, high)
    plain = low <= high and low.denominator == high.denominator == 1
    return ValueRange(int(low), int(high)) if plain else codes


def _is_code(x: Activation) -> bool:
    """Whether the tensor holds its codes themselves, as behind QuantizeLinear."""
    return set(x.scale) == {1} and all(offset.denominator == 1 for offset in x.offset)


def _unsupported(node: onnx.NodeProto, what: str) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') {what}",
        layer=layer_name(node),
        remedy="use float32 scales, one or one per channel (of weights also per block), integer "
        "zero points of the same shape, and QuantizeLinear of at most "
        f"{QUANTIZE_LINEAR_BITS} bits before DequantizeLinear",
    )
