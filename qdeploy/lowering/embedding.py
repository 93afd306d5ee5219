# SPDX-License-Identifier: Apache-2.0
"""Gather of a table by the network's indices, and OneHot: rows of integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import Embedding
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.datatypes import IntegerType
from qdeploy.lowering.inputs import typed_input
from qdeploy.lowering.source import MAXIMUM_ELEMENTS, layer_name
from qdeploy.lowering.values import (
    Activation,
    Constant,
    QuantizedConstant,
    RealInput,
    ScaledCodes,
)
from qdeploy.lowering.walk import Walk, handles
from qdeploy.lowering.weights import plain_integers


def embedding(walk: Walk, node: onnx.NodeProto, table: Constant | QuantizedConstant) -> Activation:
    """ONNX Gather 1..13 of the rows of a table [V, E] by indices that the network computes.

    Raises:
        UserError: if the table is not quantized, or not with one scale.
    """
    if isinstance(table, Constant):
        table = plain_integers(table) or table
    if not isinstance(table, QuantizedConstant):
        raise UserError(
            f"{node.op_type} (node '{node.name}') of a table of real numbers",
            layer=layer_name(node),
            remedy="use brevitas.nn.QuantEmbedding",
        )
    if len(table.planes) != 1 or len({*table.planes[0].scale.ravel()}) != 1:
        raise UserError(
            f"{node.op_type} (node '{node.name}') of a table with several scales",
            layer=layer_name(node),
            remedy="use brevitas.nn.QuantEmbedding with one scale for the whole table",
        )
    axis = attributes(node).get("axis", 0)
    if len(table.shape) != 2 or axis not in (0, -2):
        raise UserError(
            f"{node.op_type} (node '{node.name}') along axis {axis} of a table of shape "
            f"{table.shape}",
            layer=layer_name(node),
            remedy="write the layer as torch.nn.Embedding",
        )
    return _rows(walk, node, table.planes[0], 1)


@handles("OneHot")
def one_hot(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX OneHot 9..11 along the last axis, of indices that the network computes."""
    depth = int(walk.array(node, 1).item())
    off, on = walk.array(node, 2).tolist()
    axis = attributes(node).get("axis", -1)
    indices = walk.value(node)
    rank = len(indices.shape) if isinstance(indices, (Activation, RealInput)) else 0
    codes = np.array([off, on]).astype(np.int32)
    if (
        axis not in (-1, rank + 1)
        or not 0 < depth**2 <= MAXIMUM_ELEMENTS
        or codes.tolist() != [off, on]
    ):
        raise UserError(
            f"OneHot (node '{node.name}') of {depth} numbers {off} and {on} along axis {axis}",
            layer=layer_name(node),
            remedy="write it as torch.nn.functional.one_hot",
        )
    table = ScaledCodes(
        np.where(np.eye(depth, dtype=bool), codes[1], codes[0]), np.array([Fraction(1)])
    )
    return _rows(walk, node, table, 0)


def _rows(walk: Walk, node: onnx.NodeProto, table: ScaledCodes, index: int) -> Activation:
    """The rows that input `index` of the node says; all indices of the network's input are one."""
    value, count = walk.value(node, index), len(table.codes)
    if isinstance(value, RealInput) and walk.source.indices:
        indices = typed_input(walk, node, value, IntegerType(0, count - 1))
    else:
        indices = walk.activation(node, index)
    limits = walk.builder.tensors[indices.tensor].range
    if (indices.scale, indices.offset) != ((Fraction(1),), (Fraction(0),)) or not (
        limits.low >= 0 and limits.high < count
    ):
        raise UserError(
            f"{node.op_type} (node '{node.name}') of {count} rows by numbers that are no indices "
            f"of them ({limits})",
            layer=layer_name(node),
            remedy="feed the network's integer input, or an arg-max, to the layer",
        )
    name = walk.unique(layer_name(node))
    return walk.add(
        Embedding(
            name=name,
            input=indices.tensor,
            output=name,
            origin=(node.name,),
            table=table.codes.astype(np.int64),
        ),
        (table.scale.ravel()[0],),
    )
