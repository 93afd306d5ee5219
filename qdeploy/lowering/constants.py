# SPDX-License-Identifier: Apache-2.0
"""Nodes that only compute constants: shapes as torch and Keras exporters write them, and roots."""

from __future__ import annotations

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import MAXIMUM_ELEMENTS, layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    Mixed,
    QuantizedConstant,
    RealInput,
    Value,
)
from qdeploy.lowering.walk import Walk, handles


@handles("Constant")
def constant(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Constant 1..21."""
    values = list(attributes(node).values())
    if len(values) != 1 or isinstance(values[0], (str, onnx.SparseTensorProto)):
        raise UserError(
            f"constant '{node.name}' is not a tensor",
            layer=layer_name(node),
            remedy="export the model again",
        )
    return Constant(np.asarray(values[0]))


@handles("Shape")
def shape(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Shape 1..21, for one sample: the batch axis counts as 1."""
    value = walk.value(node)
    sizes: tuple[int, ...]
    if isinstance(value, (Activation, RealInput, Mixed)):
        sizes = (1, *value.shape)
    else:
        sizes = value.shape if isinstance(value, QuantizedConstant) else value.array.shape
    given = attributes(node)
    return Constant(np.array(sizes[given.get("start", 0) : given.get("end")], np.int64))


@handles("Cast")
def cast(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Cast 6..21 of a constant, or of integers to float32."""
    try:
        to = attributes(node)["to"]
        value = walk.value(node)
        if to == onnx.TensorProto.FLOAT and isinstance(value, (Activation, RealInput)):
            return value
        dtype = onnx.helper.tensor_dtype_to_np_dtype(to)
        return Constant(walk.array(node, 0).astype(dtype))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(node, error) from error


@handles("ConstantOfShape")
def constant_of_shape(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX ConstantOfShape 9..21."""
    sizes = [int(size) for size in walk.array(node, 0).ravel()]
    elements = 1
    for size in sizes:
        elements *= size
    if min(sizes, default=1) < 0 or elements > MAXIMUM_ELEMENTS:
        raise _damaged(node, ValueError(f"shape {sizes}"))
    value = np.asarray(attributes(node).get("value", np.float32(0))).reshape(-1)[:1]
    return Constant(np.broadcast_to(value[0], sizes))


@handles("Pow")
def power(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Pow 7..15 of constants, as exporters write square roots."""
    with np.errstate(all="ignore"):
        return Constant(np.power(walk.array(node, 0), walk.array(node, 1)))


@handles("Sqrt")
def sqrt(walk: Walk, node: onnx.NodeProto) -> Constant:
    """ONNX Sqrt 6..13 of a constant."""
    with np.errstate(all="ignore"):
        return Constant(np.sqrt(walk.array(node, 0)))


def _damaged(node: onnx.NodeProto, error: Exception) -> UserError:
    return UserError(
        f"{node.op_type} (node '{node.name}'): {error}",
        layer=layer_name(node),
        remedy="export the model again",
    )
