# SPDX-License-Identifier: Apache-2.0
"""Quantizers of other dialects with parameters that they cannot have."""

from typing import Any

import numpy as np
import onnx
from corpus import add_constant, hostile, node, set_attribute, set_input, valid
from numpy.typing import ArrayLike

NAN = float("nan")


def _instead(operator: str, *constants: ArrayLike, **attributes: Any) -> onnx.ModelProto:
    """The activation "/act/Quant" replaced by another operator with these constant inputs."""
    model = valid()
    activation = node(model, "/act/Quant")
    del activation.input[1:], activation.attribute[:]
    activation.op_type = operator
    for values in constants:
        array = np.asarray(values)
        dtype = np.float32 if array.dtype == np.float64 else array.dtype
        activation.input.append(add_constant(model, array, dtype))
    for name, value in attributes.items():
        set_attribute(model, "/act/Quant", name, value)
    return model


def _thresholds() -> onnx.ModelProto:
    return _instead("MultiThreshold", [[0.5, 1.0, 1.5]], out_dtype="UINT2")


@hostile
def threshold_nan() -> onnx.ModelProto:
    return set_input(_thresholds(), "/act/Quant", 1, [[0.5, NAN]])


@hostile
def thresholds_of_more_channels() -> onnx.ModelProto:
    return set_input(_thresholds(), "/act/Quant", 1, np.ones((5, 3)))


@hostile
def thresholds_with_three_axes() -> onnx.ModelProto:
    return set_input(_thresholds(), "/act/Quant", 1, np.ones((1, 4, 3)))


@hostile
def thresholds_too_many() -> onnx.ModelProto:
    return set_input(_thresholds(), "/act/Quant", 1, np.arange(1 << 17).reshape(1, -1))


@hostile
def thresholds_that_are_text() -> onnx.ModelProto:
    return set_input(_thresholds(), "/act/Quant", 1, np.array([["1"]], object), object)


@hostile
def thresholds_that_are_computed() -> onnx.ModelProto:
    model = _thresholds()
    node(model, "/act/Quant").input[1] = "x"
    return model


@hostile
def thresholds_left_out() -> onnx.ModelProto:
    model = _thresholds()
    del node(model, "/act/Quant").input[1:]
    return model


@hostile
def threshold_scale_zero() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "out_scale", 0.0)


@hostile
def threshold_scale_infinite() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "out_scale", float("inf"))


@hostile
def threshold_bias_nan() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "out_bias", NAN)


@hostile
def threshold_layout_with_channels_first() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "data_layout", "CHWN")


@hostile
def threshold_layout_too_long() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "data_layout", "NHWDDC")


@hostile
def threshold_layout_that_is_a_number() -> onnx.ModelProto:
    return set_attribute(_thresholds(), "/act/Quant", "data_layout", 3)
