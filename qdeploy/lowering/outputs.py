# SPDX-License-Identifier: Apache-2.0
"""The end of a network: choosing a class among integers."""

from __future__ import annotations

from fractions import Fraction

import onnx

from qdeploy.errors import UserError
from qdeploy.integer import ArgMax
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation
from qdeploy.lowering.walk import Walk, handles


@handles("ArgMax")
def arg_max(walk: Walk, node: onnx.NodeProto) -> Activation:
    """ONNX ArgMax 1..13 over the features."""
    given = attributes(node)
    x = walk.activation(node)
    if given.get("axis", 0) not in (1, -1) or len(x.shape) != 1 or given.get("select_last_index"):
        raise UserError(
            f"ArgMax (node '{node.name}') of a tensor of shape {x.shape}",
            layer=layer_name(node),
            remedy="choose among the features of [N, features], axis=1",
        )
    return choose_class(walk, x, layer_name(node))


def choose_class(walk: Walk, x: Activation, layer: str) -> Activation:
    """Append the index of the largest value.

    Raises:
        UserError: if the real values are not ordered as the integers are.
    """
    x = walk.with_positive_scale(x)
    if len(set(x.scale)) != 1 or len(set(x.offset)) != 1 or x.scale[0] <= 0 or len(x.shape) != 1:
        raise UserError(
            "the class cannot be chosen among integers: the logits have different scales or "
            "offsets per class",
            layer=layer,
            remedy="use one weight scale and no bias in the last layer, or ask for logits",
        )
    name = walk.unique(layer)
    return walk.add(ArgMax(name=name, input=x.tensor, output=name), (Fraction(1),))
