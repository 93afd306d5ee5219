# SPDX-License-Identifier: Apache-2.0
"""MultiThreshold: quantizers of files that come from the middle of a FINN flow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.lowering.activations import quantize
from qdeploy.lowering.attributes import attributes
from qdeploy.lowering.exact import fractions
from qdeploy.lowering.levels import LISTED_BITS, Boundary, levels
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation, RealInput
from qdeploy.lowering.walk import Walk, handles

# The layouts that the public executor assumes by the number of axes.
_LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}
# No float32 lies beyond it, so it stands for an infinite threshold.
_BEYOND = 2.0**200


@handles("MultiThreshold")
def multithreshold(walk: Walk, node: onnx.NodeProto) -> Activation:
    """QONNX MultiThreshold: out_scale · (how many thresholds x reaches) + out_bias.

    Inputs x and thresholds [C or 1, T] in any order; x reaches a threshold from its value on.
    """
    value = walk.value(node)
    thresholds = walk.array(node, 1)
    given = attributes(node)
    scale, bias = Fraction(given.get("out_scale", 1.0)), Fraction(given.get("out_bias", 0.0))
    shape = value.shape if isinstance(value, (Activation, RealInput)) else ()
    layout = given.get("data_layout") or _LAYOUTS.get(len(shape) + 1, "")
    axis = layout.index("C") if "C" in layout else 1
    channels = shape[axis - 1] if 0 < axis <= len(shape) else 0
    if (
        thresholds.dtype.kind not in "fiu"
        or thresholds.ndim != 2
        or thresholds.shape[0] not in (1, channels)
        or thresholds.shape[1] >= 1 << LISTED_BITS
        or scale == 0
        or not channels
    ):
        raise UserError(
            f"MultiThreshold (node '{node.name}') with {thresholds.dtype} thresholds of shape "
            f"{thresholds.shape}, layout '{layout}' and out_scale {float(scale):g} on {channels} "
            "channels",
            layer=layer_name(node),
            remedy=f"use one row of less than {1 << LISTED_BITS} thresholds per channel, the "
            "batch as first axis, and an out_scale other than 0",
        )
    rows = np.sort(fractions(np.clip(thresholds.astype(np.float64), -_BEYOND, _BEYOND)), axis=1)
    plain = levels(bias, scale, thresholds.shape[1] + 1)
    quantizers = [plain.with_boundaries([Boundary(t, True) for t in row]) for row in rows]
    return quantize(walk, node, value, quantizers, axis - 1)
