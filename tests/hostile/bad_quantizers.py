# SPDX-License-Identifier: Apache-2.0
"""Quantizers of other dialects with parameters that they cannot have."""

from typing import Any

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, set_input, valid
from numpy.typing import ArrayLike
from onnx import TensorProto

NAN = float("nan")


def _instead(operator: str, *constants: ArrayLike, **attributes: Any) -> onnx.ModelProto:
    """The activation "/act/Quant" replaced by another operator with these constant inputs."""
    model = valid()
    activation = node(model, "/act/Quant")
    del activation.input[1:], activation.attribute[:]
    activation.op_type, activation.domain = operator, ""
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
    return set_input(_thresholds(), "/act/Quant", 1, np.arange(1 << 19).reshape(1, -1))


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


def _linear(
    scale: ArrayLike = 0.5, zero: ArrayLike = 0, dtype: Any = np.int8, **given: Any
) -> onnx.ModelProto:
    """QuantizeLinear for the activation, DequantizeLinear with the same parameters behind it."""
    parameters = np.asarray(scale, np.float32), np.asarray(zero, dtype)
    model = _instead("QuantizeLinear", *parameters, **given)
    activation = node(model, "/act/Quant")
    insert(model, "/pool/MaxPool", "DequantizeLinear", *activation.input[1:], **given)
    node(model, "new").name = "/act/Dequantize"
    node(model, "/act/Dequantize").output[0] = "dequantized"
    node(model, "/pool/MaxPool").input[0] = "dequantized"
    return model


@hostile
def linear_scale_nan() -> onnx.ModelProto:
    return _linear(NAN)


@hostile
def linear_scale_zero_in_one_channel() -> onnx.ModelProto:
    return _linear([1, 2, 0, 4], [0] * 4)


@hostile
def linear_scales_of_more_channels() -> onnx.ModelProto:
    return _linear([0.5, 0.25] * 4, [0] * 8)


@hostile
def linear_scales_along_the_batch() -> onnx.ModelProto:
    return _linear([0.5, 0.25], [0, 0], axis=0)


@hostile
def linear_axis_beyond_the_tensor() -> onnx.ModelProto:
    return _linear([0.5, 0.25, 1, 2], [0] * 4, axis=7)


@hostile
def linear_scale_with_two_axes() -> onnx.ModelProto:
    return _linear([[0.5, 0.25, 1, 2]], [[0] * 4])


@hostile
def linear_zero_points_of_another_number() -> onnx.ModelProto:
    return _linear([0.5, 0.25, 1, 2], [0, 1])


@hostile
def linear_zero_point_that_is_real() -> onnx.ModelProto:
    return _linear(zero=0.5, dtype=np.float32)


@hostile
def linear_quantizer_of_32_bits() -> onnx.ModelProto:
    return _linear(dtype=np.int32)


@hostile
def linear_quantizer_with_blocks() -> onnx.ModelProto:
    model = _linear(block_size=2)
    model.opset_import[0].version = 21
    return model


@hostile
def linear_quantizer_to_floats() -> onnx.ModelProto:
    model = _linear()
    model.opset_import[0].version = 21
    del node(model, "/act/Quant").input[2:]
    return set_attribute(model, "/act/Quant", "output_dtype", TensorProto.FLOAT8E4M3FN)


@hostile
def dequantized_reals() -> onnx.ModelProto:
    return _instead("DequantizeLinear", 0.5, np.int8(0))


@hostile
def dequantized_float_weights() -> onnx.ModelProto:
    model = valid()
    weights = node(model, "/conv/w/Quant")
    del weights.input[2:], weights.attribute[:]
    weights.op_type, weights.domain = "DequantizeLinear", ""
    return model


@hostile
def dequantized_bias_of_another_size() -> onnx.ModelProto:
    model = valid()
    bias = add_constant(model, np.arange(3), np.int32), add_constant(model, 0.5)
    insert(model, "/fc/Gemm", "DequantizeLinear")
    node(model, "/fc/Gemm").input[0] = node(model, "new").input[0]
    node(model, "new").input[:] = bias
    node(model, "/fc/Gemm").input[2] = "new"
    return model


@hostile
def codes_clipped_to_text() -> onnx.ModelProto:
    model = _linear()
    limit = add_constant(model, np.array(["7"], object), object)
    return insert(model, "/act/Dequantize", "Clip", "", limit)


@hostile
def truncated_to_no_bits() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, 8.0, 0.5, 0.0, rounding_mode="FLOOR")


@hostile
def truncated_to_32_bits() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, 8.0, 0.5, 32.0, rounding_mode="FLOOR")


@hostile
def truncated_by_100_bits() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, 8.0, 0.25 * 2.0**100, 4.0, rounding_mode="FLOOR")


def _unlimited(scale: float, before: float, after: float) -> onnx.ModelProto:
    """Version 1, directly behind the batch normalization."""
    model = _instead("Trunc", scale, 0.0, before, after, rounding_mode="FLOOR")
    node(model, "/act/Quant").input[0] = node(model, "/act/Relu").input[0]
    return model


@hostile
def truncated_by_a_million_bits() -> onnx.ModelProto:
    return _unlimited(0.25, 1e6, 4.0)


@hostile
def truncated_to_too_many_bits() -> onnx.ModelProto:
    return _unlimited(2.0**-30, 8.0, 8.0)


@hostile
def truncated_with_zero_output_scale() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, 8.0, 0.0, 4.0, rounding_mode="FLOOR")


@hostile
def truncated_with_nan_zero_point() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, NAN, 8.0, 0.5, 4.0, rounding_mode="FLOOR")


@hostile
def truncated_by_an_unknown_rule() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, 8.0, 0.5, 4.0, rounding_mode="SIDEWAYS")


@hostile
def truncated_without_bits() -> onnx.ModelProto:
    return _instead("Trunc", 0.25, 0.0, rounding_mode="FLOOR")


@hostile
def truncated_function() -> onnx.ModelProto:
    """Version 1 has no limits, so that its codes follow from integers, which a Relu hides."""
    return _instead("Trunc", 0.25, 0.0, 8.0, 4.0, rounding_mode="FLOOR")
