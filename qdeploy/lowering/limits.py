# SPDX-License-Identifier: Apache-2.0
"""Relu and Clip that no quantizer follows: codes are limited to codes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import onnx

from qdeploy.integer import Threshold
from qdeploy.lowering.monotone import Clip
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

# Each code that stays costs a comparison.
MAXIMUM_CODES = 1 << 8


def limited(walk: Walk, node: onnx.NodeProto, x: Activation) -> Activation | None:
    """`x` without its pending functions, where these only limit its codes to some of them.

    None where a limit is no code, the codes are too many or a function is another one.
    """
    if len(x.scale) > 1 or len(x.offset) > 1 or x.scale[0] <= 0:
        return None
    codes = walk.builder.tensors[x.tensor].range
    low, high = Fraction(codes.low), Fraction(codes.high)
    for function in x.functions:
        if not isinstance(function, Clip):
            return None
        if function.low is not None:
            low = max(low, (function.low - x.offset[0]) / x.scale[0])
        if function.high is not None:
            high = min(high, (function.high - x.offset[0]) / x.scale[0])
    if low.denominator != 1 or high.denominator != 1 or not 0 < high - low < MAXIMUM_CODES:
        return None
    first, last = int(low), int(high)
    name = walk.unique(f"{layer_name(node)}.limits")
    thresholds = np.arange(first + 1, last + 1, dtype=np.int64)[np.newaxis]
    one = np.ones(1, np.int64)
    operator = Threshold(
        name=name,
        input=x.tensor,
        output=name,
        origin=(node.name,),
        thresholds=thresholds,
        base=first * one,
        step=one,
    )
    return replace(x, tensor=walk.add(operator, x.scale).tensor, functions=())
