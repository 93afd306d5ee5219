# SPDX-License-Identifier: Apache-2.0
"""Where the network's real input becomes integers: its first quantizer, or a type it has."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import onnx

from qdeploy.errors import UserError
from qdeploy.integer import InputQuantizer, Meaning, ValueRange
from qdeploy.lowering import movement
from qdeploy.lowering.datatypes import IntegerType
from qdeploy.lowering.levels import bipolar, half_even, rounded
from qdeploy.lowering.source import layer_name
from qdeploy.lowering.thresholds import input_quantizer
from qdeploy.lowering.values import Activation, RealInput

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk


def integer_input(
    walk: Walk, node: onnx.NodeProto, value: RealInput, quantizer: InputQuantizer, meaning: Meaning
) -> Activation:
    """The network's integer input, in the shape it has at `node`; equal quantizers share it.

    Raises:
        UserError: if the input is quantized already, and differently.
    """
    name, shape, first = walk.source.input, walk.source.input_shape, walk.quantizer
    if first is None:
        walk.quantizer = quantizer
        walk.unique(name)
        highest = quantizer.low + quantizer.step * len(quantizer.boundaries)
        walk.builder.input(name, shape, ValueRange(quantizer.low, highest), meaning.scale[0])
        walk.builder.set_meaning(name, meaning)
    elif (first.low, first.step) != (quantizer.low, quantizer.step) or not np.array_equal(
        first.boundaries, quantizer.boundaries
    ):
        raise UserError(
            f"the input is quantized twice, and differently (node '{node.name}')",
            layer=layer_name(node),
            remedy="quantize the network's input once, before everything else",
        )
    x = Activation(name, shape, meaning.scale, meaning.offset)
    return movement.replay(walk, x, value.moves, f"{name}.moved")


def typed_input(
    walk: Walk, node: onnx.NodeProto, value: RealInput, kind: IntegerType
) -> Activation:
    """The input of a network that reads numbers of type `kind`; others are rounded to them."""
    if kind.step == 2:
        levels = bipolar(kind.scale)
    else:
        codes = ValueRange(kind.low, kind.high)
        halves, included = half_even(np.arange(codes.low + 1, codes.high + 1))
        levels = rounded(codes, halves, included, kind.scale)
    quantizer = input_quantizer(levels, Fraction(1), Fraction(0))
    x = integer_input(walk, node, value, quantizer, Meaning((kind.scale,)))
    scale, offset = value.scale * kind.scale, value.offset
    x = Activation(x.tensor, x.shape, (scale,), (offset,))
    for function in value.functions:
        x = walk.pending(x, function)
    return x
