# SPDX-License-Identifier: Apache-2.0
"""Relu and Clip that no quantizer follows: codes are limited to codes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import onnx

from qdeploy.integer import Threshold, ValueRange
from qdeploy.lowering.monotone import Affine, Clip
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.values import Activation

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

# Each code that stays costs a comparison.
MAXIMUM_CODES = 1 << 8


def limited(walk: Walk, node: onnx.NodeProto, x: Activation) -> Activation | None:
    """`x` without its pending functions, where these only limit its codes to some of them.

    None where a limit is no code or another one per channel, the codes are too many, or a function
    is no limit.
    """
    codes = walk.builder.tensors[x.tensor].range
    channels = [_limited(x, channel, codes) for channel in range(x.channels)]
    known = [channel for channel in channels if channel is not None]
    if len(known) < len(channels) or len({ends for _, _, ends in known}) > 1:
        return None
    low, high = known[0][2]
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
    scale = tuple(scale for scale, _, _ in known)
    offset = tuple(offset for _, offset, _ in known)
    y = walk.add(operator, scale)
    return replace(x, tensor=y.tensor, scale=scale, offset=offset, functions=())


def _limited(
    x: Activation, channel: int, codes: ValueRange
) -> tuple[Fraction, Fraction, tuple[Fraction, Fraction]] | None:
    """One channel's scale and offset behind all functions, and where its codes end."""
    scale, offset = x.scale[channel % len(x.scale)], x.offset[channel % len(x.offset)]
    low, high = Fraction(codes.low), Fraction(codes.high)
    for function in x.functions_of(channel):
        if isinstance(function, Affine):
            scale, offset = function.factor * scale, function.of(offset)
        elif not isinstance(function, Clip):
            return None
        elif not scale or function.low == function.high is not None:
            scale, offset = Fraction(0), function.of(offset)
        else:
            limits = [
                None if limit is None else (limit - offset) / scale
                for limit in (function.low, function.high)
            ]
            least, most = limits if scale > 0 else reversed(limits)
            low = low if least is None else max(low, least)
            high = high if most is None else min(high, most)
    return scale, offset, (low, high)
