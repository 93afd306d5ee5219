# SPDX-License-Identifier: Apache-2.0
"""The bias of a layer joins the offset of its sums."""

from __future__ import annotations

from dataclasses import replace

import onnx

from qdeploy.errors import UserError
from qdeploy.lowering.affine import per_axis
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, Constant, QuantizedConstant
from qdeploy.lowering.walk import Walk


def with_bias(walk: Walk, node: onnx.NodeProto, y: Activation) -> Activation:
    """`y` plus the bias, input 2 of the node."""
    bias = walk.value(node, 2)
    if isinstance(bias, QuantizedConstant):
        added = tuple(bias.real.ravel())
        if len(added) not in (1, y.shape[y.axis]):
            raise UserError(
                f"{node.op_type} (node '{node.name}') has a bias of {len(added)} values for "
                f"{y.shape[y.axis]} outputs",
                layer=layer_name(node),
                remedy="export the model again",
            )
    elif isinstance(bias, Constant):
        added = per_axis(bias.array.reshape(-1), (y.shape[y.axis],), node)[0]
    else:
        raise UserError(
            f"the bias of {node.op_type} (node '{node.name}') is not constant",
            layer=layer_name(node),
            remedy="export the model in eval mode",
        )
    channels = max(len(y.offset), len(added))
    offset = tuple(y.offset[c % len(y.offset)] + added[c % len(added)] for c in range(channels))
    return replace(y, offset=offset)
