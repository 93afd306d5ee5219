# SPDX-License-Identifier: Apache-2.0
"""BatchNormalization, Add, Sub, Mul, Div, Neg: only the meaning changes.

a · (scale · x + offset) + c = (a · scale) · x + (a · offset + c)
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.branches import add
from qdeploy.lowering.exact import fractions, square_root
from qdeploy.lowering.inputs import typed_input
from qdeploy.lowering.monotone import Affine, Clip
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    QuantizedConstant,
    RealInput,
    ScaledCodes,
    Value,
)
from qdeploy.lowering.walk import QUANTIZER_REMEDY, Pending, Walk, handles
from qdeploy.lowering.weights import summed

Channels = tuple[Fraction, ...]


@handles("BatchNormalization")
def batch_normalization(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX BatchNormalization 7..15 in inference: gamma · (x - mean) / sqrt(var + eps) + beta."""
    x = walk.value(node)
    if not isinstance(x, Activation):
        x = walk.activation(node)
    if attributes(node).get("training_mode", 0):
        raise UserError(
            f"BatchNormalization (node '{node.name}') in training mode",
            layer=layer_name(node),
            remedy="call module.eval() before exporting",
        )
    gamma, beta, mean, variance = (
        per_axis(_parameter(walk, node, index).reshape(-1), (x.shape[0],), node)[0]
        for index in range(1, 5)
    )
    epsilon = Fraction(float(np.float32(attributes(node).get("epsilon", 1e-5))))
    try:
        factor = tuple(
            g / square_root(v + epsilon) for g, v in zip(*_spread(gamma, variance), strict=True)
        )
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"a variance of {float(min(variance)):g} in BatchNormalization (node '{node.name}')",
            layer=layer_name(node),
            remedy="train the network before exporting it",
        ) from error
    shift = tuple(b - f * m for b, f, m in zip(*_spread(beta, factor, mean), strict=True))
    return scaled(x, factor, shift, 0, node)


@handles("Mul", "Div", "Add", "Sub")
def arithmetic(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Add, Sub, Mul, Div 7..14 with one constant operand, Add and Sub also of activations."""
    left, right = walk.value(node), walk.value(node, 1)
    terms = node.op_type in ("Add", "Sub")
    if terms and isinstance(left, QuantizedConstant) and isinstance(right, QuantizedConstant):
        negated = right.each(lambda plane: ScaledCodes(plane.codes, -plane.scale))
        return summed(left, right if node.op_type == "Add" else negated, layer_name(node))
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Constant(_folded(node, left.array, right.array))
    if isinstance(right, Constant) or (_is_constant(right) and not _is_constant(left)):
        return _apply(walk, left, node, _parameter(walk, node, 1), swapped=False)
    if _is_constant(left) and node.op_type != "Div":
        return _apply(walk, right, node, _parameter(walk, node, 0), swapped=True)
    if node.op_type in ("Add", "Sub"):
        sign = 1 if node.op_type == "Add" else -1
        return add(walk, node, walk.activation(node), walk.activation(node, 1), sign)
    raise UserError(
        f"{node.op_type} (node '{node.name}') of two computed tensors",
        layer=layer_name(node),
        remedy="only a constant operand is supported",
    )


@handles("Neg")
def negative(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Neg 6..13."""
    value = walk.value(node)
    if isinstance(value, Constant):
        return Constant(np.negative(value.array))
    return _apply(walk, value, node, np.array(0), swapped=True)


def _is_constant(value: Value) -> bool:
    return isinstance(value, (Constant, QuantizedConstant))


def _parameter(walk: Walk, node: onnx.NodeProto, index: int) -> NDArray[Any]:
    """A constant input as in the file; Fractions where a quantizer made it."""
    value = walk.value(node, index)
    return value.real if isinstance(value, QuantizedConstant) else walk.array(node, index)


def _folded(node: onnx.NodeProto, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Arithmetic of two constants."""
    if node.op_type == "Div" and not right.all():
        raise _division_by_zero(node)
    if node.op_type == "Div" and left.dtype.kind == right.dtype.kind == "i":  # towards zero
        return np.asarray(np.sign(left) * np.sign(right) * (abs(left) // abs(right)))
    with np.errstate(all="ignore"):  # what is not finite is refused where it is used
        result: NDArray[Any] = _FOLD[node.op_type](left, right)
    return result


def _division_by_zero(node: onnx.NodeProto) -> UserError:
    return UserError(
        f"division by zero (node '{node.name}')",
        layer=layer_name(node),
        remedy="check the constants of the source model",
    )


_FOLD = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}


def per_axis(
    array: NDArray[Any], shape: tuple[int, ...], node: onnx.NodeProto
) -> tuple[Channels, int]:
    """A constant operand of a tensor of `shape` (no batch axis): Fractions, and their axis.

    Returns:
        One Fraction and axis 0, or one Fraction per index of the one axis along which it varies.

    Raises:
        UserError: if it varies along several axes or the batch, or is not finite.
    """
    sizes = (1,) * (len(shape) + 1 - array.ndim) + array.shape
    varying = [axis for axis, size in enumerate(sizes[-len(shape) :]) if size != 1]
    fits = len(varying) <= 1 and all(size == 1 for size in sizes[: -len(shape)])
    if not fits or any(sizes[-len(shape) :][axis] != shape[axis] for axis in varying):
        raise UserError(
            f"{node.op_type} (node '{node.name}') has a constant of shape {array.shape} "
            f"for a tensor of shape {shape}",
            layer=layer_name(node),
            remedy="only one value, or one per index of one axis (channels), can be absorbed",
        )
    try:
        exact = array if array.dtype == object else fractions(array)
        return tuple(exact.reshape(-1)), varying[0] if varying else 0
    except ValueError as error:
        raise UserError(
            f"{node.op_type} (node '{node.name}') has the parameter {error}",
            layer=layer_name(node),
            remedy="the model is damaged or its training diverged; check the parameters",
        ) from error


def _apply(
    walk: Walk, value: Value, node: onnx.NodeProto, array: NDArray[Any], swapped: bool
) -> Value:
    """`value` op constant, or constant op `value` where swapped."""
    if isinstance(value, RealInput) and array.size != 1 and walk.source.input_type is not None:
        value = typed_input(walk, node, value, walk.source.input_type)
    if isinstance(value, QuantizedConstant) and node.op_type in ("Mul", "Div"):
        return _scaled(value, node, array)
    shape = value.shape if isinstance(value, Activation) else (1,)
    constant, axis = per_axis(array, shape, node)
    if node.op_type == "Div" and not all(constant):
        raise _division_by_zero(node)
    factor: Channels = (Fraction(1),)
    shift: Channels = (Fraction(0),)
    if node.op_type == "Mul":
        factor = constant
    elif node.op_type == "Div":
        factor = tuple(1 / c for c in constant)
    elif node.op_type == "Add":
        shift = constant
    elif swapped:
        factor, shift = (Fraction(-1),), constant
    else:
        shift = tuple(-c for c in constant)
    if isinstance(value, RealInput) and not value.functions:
        scale, offset = value.scale * factor[0], value.offset * factor[0] + shift[0]
        return replace(value, scale=scale, offset=offset)
    if isinstance(value, RealInput):
        return scaled(value, factor, shift, axis, node)
    if isinstance(value, Activation):
        return scaled(value, factor, shift, axis, node)
    raise _float_layer(node)


def scaled(
    x: Pending, factor: Channels, shift: Channels, axis: int, node: onnx.NodeProto
) -> Pending:
    """The value factor · x + shift, each one value or one per index of `axis`.

    Raises:
        UserError: if scales along another axis are pending.
    """
    if isinstance(x, Activation):
        x = along(x, axis, max(len(factor), len(shift)), node)
        if not x.functions:
            scale = tuple(s * f for s, f in zip(*_spread(x.scale, factor), strict=True))
            offset = _spread(x.offset, factor, shift)
            moved = tuple(o * f + c for o, f, c in zip(*offset, strict=True))
            return replace(x, scale=scale, offset=moved)
    elif len(factor) > 1 or len(shift) > 1:
        raise _float_layer(node)
    x = _mirrored(x, [f < 0 for f in factor])
    pairs = zip(*_spread(factor, shift), strict=True)
    function = tuple(Affine(abs(f), c) if f else Clip(c, c) for f, c in pairs)
    return replace(x, functions=(*x.functions, function))


def _mirrored(x: Pending, turned: list[bool]) -> Pending:
    """The value -x where turned (once, or per index of the axis of the scales)."""
    if not any(turned):
        return x
    if isinstance(x, RealInput):
        functions = tuple((function.mirrored(),) for (function,) in x.functions)
        return replace(x, scale=-x.scale, offset=-x.offset, functions=functions)
    signs = tuple(Fraction(-1 if turn else 1) for turn in turned)
    scale = tuple(s * sign for s, sign in zip(*_spread(x.scale, signs), strict=True))
    offset = tuple(o * sign for o, sign in zip(*_spread(x.offset, signs), strict=True))
    functions = tuple(
        tuple(f.mirrored() if sign < 0 else f for f, sign in zip(*_spread(row, signs), strict=True))
        for row in x.functions
    )
    return replace(x, scale=scale, offset=offset, functions=functions)


def along(x: Activation, axis: int, count: int, node: onnx.NodeProto) -> Activation:
    """`x`, ready for `count` parameters along `axis`.

    Raises:
        UserError: if it has scales along another axis already.
    """
    if x.uniform:
        return replace(x, axis=axis)
    if count > 1 and axis != x.axis:
        raise UserError(
            f"{node.op_type} (node '{node.name}') varies along axis {axis + 1}, the scales before "
            f"it along axis {x.axis + 1}",
            layer=layer_name(node),
            remedy="use one scale per tensor, or scales along the same axis",
        )
    return x


def _float_layer(node: onnx.NodeProto) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}') would stay a float layer",
        layer=layer_name(node),
        remedy=QUANTIZER_REMEDY,
    )


def _scaled(
    value: QuantizedConstant, node: onnx.NodeProto, array: NDArray[Any]
) -> QuantizedConstant:
    """Weights times (or over) a constant, as QONNX writes scales that it took out of Quant."""
    factor = array if array.dtype == object else fractions(array)
    if np.broadcast_shapes(value.shape, factor.shape) != value.shape:
        raise ValueError(f"a factor of shape {array.shape} for weights {value.shape}")

    def scaled_plane(plane: ScaledCodes) -> ScaledCodes:
        scale = plane.scale * factor if node.op_type == "Mul" else plane.scale / factor
        return ScaledCodes(plane.codes, np.atleast_1d(scale))

    return value.each(scaled_plane)


def _spread(*channels: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Bring tuples of length 1 and C to one length."""
    length = max(map(len, channels))
    return [c * length if len(c) == 1 else c for c in channels]
