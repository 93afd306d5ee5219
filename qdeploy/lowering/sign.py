# SPDX-License-Identifier: Apache-2.0
"""The operator Sign, as binary networks of Larq and Keras use it: a quantizer to -1, 0, 1."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from qdeploy.lowering.activations import quantize
from qdeploy.lowering.levels import Quantizer
from qdeploy.lowering.values import Constant, QuantizedConstant, ScaledCodes, Value
from qdeploy.lowering.walk import Walk, handles

_TERNARY = Quantizer(
    low=-1,
    step=1,
    scale=Fraction(1),
    unit=Fraction(1),
    positions=np.array([0, 0], object),
    included=np.array([True, False]),
)


@handles("Sign")
def sign(walk: Walk, node: onnx.NodeProto) -> Value:
    """ONNX Sign 9..13 of weights or an activation; 0 stays 0."""
    value = walk.value(node)
    if not isinstance(value, Constant):
        return quantize(walk, node, value, [_TERNARY])
    if np.isnan(value.array).any():
        raise ValueError("its weights are not finite")
    one = np.array([Fraction(1)], object)
    return QuantizedConstant((ScaledCodes(np.sign(value.array).astype(np.int32), one),))
