# SPDX-License-Identifier: Apache-2.0
"""The end of a network: choosing a class among integers."""

from __future__ import annotations

from fractions import Fraction

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import ArgMax
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles


@handles("ArgMax")
def arg_max(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ArgMax 1..13 over any axis but the batch."""
    given = attributes(node)
    x = walk.activation(node)
    rank, layer = len(x.shape) + 1, layer_name(node)
    axis = given.get("axis", 0)
    if not -rank <= axis < rank or axis % rank == 0 or given.get("select_last_index", 0):
        raise UserError(
            f"ArgMax (node '{node.name}') over axis {axis} of a tensor of shape {('N', *x.shape)}",
            layer=layer,
            remedy="choose the first largest among the features of [N, features, ...], axis=1",
        )
    place = axis % rank - 1
    order = (place, *(k for k in range(len(x.shape)) if k != place))
    y = _largest(walk, movement.transpose(walk, x, order, f"{layer}.first"), layer)
    if not given.get("keepdims", 1) and rank > 2:
        return movement.reshape(walk, y, y.shape[1:], f"{layer}.squeeze")
    back = tuple(order.index(k) for k in range(len(order)))
    return movement.transpose(walk, y, back, f"{layer}.back")


@handles("TopK")
def top_k(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX TopK 1..11 with k = 1, of which the index is the network's output."""
    x = walk.activation(node)
    given = attributes(node)
    k = given.get("k") or int(walk.array(node, 1).ravel()[0])
    index = node.output[1] if len(node.output) > 1 else ""
    plain = given.get("axis", -1) in (1, -1) and given.get("largest", 1) and len(x.shape) == 1
    if k != 1 or not plain or index != walk.source.output:
        raise UserError(
            f"TopK (node '{node.name}') with k={k}",
            layer=layer_name(node),
            remedy="only the index of the largest value (k=1) can be the output; or export logits",
        )
    walk.values[index] = choose_class(walk, x, layer_name(node))
    return x


@handles("Softmax", "Sigmoid")
def output_function(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX Softmax 1..13 over the features and Sigmoid 6..13, as the very last node.

    The integers stay what they are (the order of classes is the same); the function is applied to
    the real output.
    """
    x = walk.activation(node)
    axis = attributes(node).get("axis", -1)
    over_features = node.op_type == "Sigmoid" or (axis in (1, -1) and len(x.shape) == 1)
    if not _is_last(walk, node) or not over_features:
        raise UserError(
            f"{node.op_type} (node '{node.name}') in the middle of the network",
            layer=layer_name(node),
            remedy="use it only as the last layer, over the features of [N, features]",
        )
    walk.output_function = "softmax" if node.op_type == "Softmax" else "sigmoid"
    return x


def _is_last(walk: Walk, node: onnx.NodeProto) -> bool:
    """Whether nothing follows, or behind an elementwise function only what moves values."""
    moves = {"Identity"} if node.op_type == "Softmax" else {"Identity", "Transpose", "Reshape"}
    name = node.output[0]
    while name != walk.source.output:
        reader, *others = walk.source.readers[name]
        if others or reader.op_type not in moves:
            return False
        name = reader.output[0]
    return True


def choose_class(walk: Walk, x: Activation, layer: str) -> Activation:
    """Append the index of the largest of [features].

    Raises:
        UserError: if there are more axes, or the real values are not ordered as the integers are.
    """
    if len(x.shape) != 1:
        raise UserError(
            f"the class cannot be chosen in an output of shape {('N', *x.shape)}",
            layer=layer,
            remedy="choose it among the features of [N, features], or ask for logits",
        )
    return _largest(walk, x, layer)


def _largest(walk: Walk, x: Activation, layer: str) -> Activation:
    """Append the index of the largest value along axis 0."""
    x = walk.with_positive_scale(x, wider=True)
    alike = len(set(x.scale)) == len(set(x.offset)) == 1 or x.axis != 0
    if not alike or min(x.scale) <= 0:
        raise UserError(
            "the class cannot be chosen among integers: the logits have different scales or "
            "offsets per class",
            layer=layer,
            remedy="use one weight scale and no bias in the last layer, or ask for logits",
        )
    name = walk.unique(layer)
    return walk.add(ArgMax(name=name, input=x.tensor, output=name), (Fraction(1),))
