# SPDX-License-Identifier: Apache-2.0
"""Operators of the domain qonnx.custom_op.channels_last: ONNX operators on [N, ..., C].

QONNX's ConvertToChannelsLast writes Conv (its weights channels last too), MaxPool and
BatchNormalization; everything else about them is as in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx

from qdeploy.errors import UserError
from qdeploy.lowering import mixing, movement
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, Mixed, RealInput, Value

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

# How many inputs, from the first on, have channels last.
_INPUTS = {"Conv": 2, "MaxPool": 1, "BatchNormalization": 1}


def channels_last(
    walk: Walk, node: onnx.NodeProto, handler: Callable[[Walk, onnx.NodeProto], Value]
) -> Value:
    """Lower `node` by the handler of its ONNX operator, between two transpositions.

    Raises:
        UserError: if no such operator exists, or as the handler does.
    """
    layer = layer_name(node)
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.domain = ""
    try:
        onnx.checker.check_node(plain)
    except onnx.checker.ValidationError as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error
    if node.op_type not in _INPUTS:
        raise UserError(
            f"operator {node.op_type} (node '{node.name}') of domain '{node.domain}'",
            layer=layer,
            remedy=f"channels-last operators are {', '.join(_INPUTS)}",
        )
    for index in range(_INPUTS[node.op_type]):
        name = f"{node.input[index]} (channels first)"
        walk.values[name] = _first(walk, walk.value(node, index), f"{layer}.channels_first")
        plain.input[index] = name
    value = handler(walk, plain)
    assert isinstance(value, Activation)
    rank = len(value.shape)
    return movement.transpose(walk, value, (*range(1, rank), 0), f"{layer}.channels_last")


def _first(walk: Walk, value: Value, name: str) -> Value:
    """A value with its last axis behind the batch axis, or behind the output channels."""
    if isinstance(value, (Activation, RealInput, Mixed)):
        rank = len(value.shape)
        return mixing.transpose(walk, value, (rank - 1, *range(rank - 1)), name)
    rank = len(value.array.shape if isinstance(value, Constant) else value.shape)
    return movement.transpose_constant(value, (0, rank - 1, *range(1, rank - 1)))
