# SPDX-License-Identifier: Apache-2.0
"""The end of a network: choosing a class among integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import ArgMax, Quotient, Requantize
from qdeploy.integer.builder import MAXIMUM_ACCUMULATOR_BITS
from qdeploy.lowering import movement
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import greatest_common_divisor
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
    """ONNX TopK 1..11, largest first, of which the indices are the network's output."""
    x = walk.activation(node)
    given = attributes(node)
    k = given.get("k") or int(walk.array(node, 1).ravel()[0])
    index = node.output[1] if len(node.output) > 1 else ""
    plain = given.get("largest", 1) and given.get("sorted", 1) and len(x.shape) == 1
    if given.get("axis", -1) not in (1, -1) or not plain or index != walk.source.output:
        raise UserError(
            f"TopK (node '{node.name}') with k={k} of values of shape {('N', *x.shape)}",
            layer=layer_name(node),
            remedy="only the indices of the largest of [N, features] can be the output; or export "
            "logits",
        )
    if not 0 < k <= x.shape[0]:
        raise ValueError(f"k is {k}")
    walk.values[index] = _largest(walk, x, layer_name(node), k)
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


def _largest(walk: Walk, x: Activation, layer: str, count: int = 1) -> Activation:
    """Append the indices of the `count` largest values along axis 0."""
    x = walk.with_positive_scale(x, wider=True)
    if not x.uniform and x.axis == 0:
        x = _comparable(walk, x, layer)
    if min(x.scale) <= 0:
        raise _incomparable(layer, "the logits have scales that are negative or 0")
    name = walk.unique(layer)
    return walk.add(ArgMax(name=name, input=x.tensor, output=name, count=count), (Fraction(1),))


def _comparable(walk: Walk, x: Activation, layer: str) -> Activation:
    """Integers that are ordered as the values scale[c] · x + offset[c] are; what they mean is lost.

    With scale[c] = u · m[c] the values are ordered as m[c] · x + offset[c] / u, where of the
    fractions of the last term only their order counts: with n different ones, as

        n · (m[c] · x + floor(offset[c] / u)) + (rank of the fraction)
    """
    scale, offset = (v * x.channels if len(v) == 1 else v for v in (x.scale, x.offset))
    unit = greatest_common_divisor(scale) or Fraction(1)
    shifts = [o / unit for o in offset]
    fractions = sorted({shift % 1 for shift in shifts})
    multiplier = [int(s / unit) * len(fractions) for s in scale]
    addend = [s // 1 * len(fractions) + fractions.index(s % 1) for s in shifts]
    ends = walk.builder.tensors[x.tensor].range
    magnitude = max(abs(ends.low), abs(ends.high))
    largest = max(abs(m) * magnitude + abs(a) for m, a in zip(multiplier, addend, strict=True))
    bits = largest.bit_length() + 1
    if bits > MAXIMUM_ACCUMULATOR_BITS:
        raise _incomparable(
            layer,
            "the logits have different scales or offsets per class, which would need "
            f"{bits} bits to compare",
        )
    one = np.ones(1, np.int64)
    name = walk.unique(f"{layer}.comparable")
    operator = Requantize(
        name=name,
        input=x.tensor,
        output=name,
        quotient=Quotient(
            multiplier=np.array(multiplier, np.int64),
            addend=np.array(addend, np.int64),
            divisor=one,
            low=-largest * one,
            high=largest * one,
            rounding="FLOOR",
        ),
    )
    return walk.add(operator, (Fraction(1),))


def _incomparable(layer: str, why: str) -> UserError:
    return UserError(
        f"the class cannot be chosen among integers: {why}",
        layer=layer,
        remedy="use one weight scale, or scales and biases in fixed point, in the last layer; or "
        "ask for logits",
    )
