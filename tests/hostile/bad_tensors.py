# SPDX-License-Identifier: Apache-2.0
"""Parameters that are no numbers, of wrong types or of wrong shapes."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, set_input, valid
from onnx import helper

NAN, INFINITY = float("nan"), float("inf")
SCALE, ZERO_POINT, WIDTH = 1, 2, 3


@hostile
def scale_nan() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", SCALE, NAN)


@hostile
def scale_infinite() -> onnx.ModelProto:
    return set_input(valid(), "/image/Quant", SCALE, INFINITY)


@hostile
def scale_zero() -> onnx.ModelProto:
    return set_input(valid(), "/image/Quant", SCALE, 0.0)


@hostile
def scale_negative() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", SCALE, -0.5)


@hostile
def scale_empty() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", SCALE, [])


@hostile
def scale_that_is_text() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", SCALE, np.array(["0.5"], object), object)


@hostile
def scale_complex() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", SCALE, 1 + 1j, np.complex64)


@hostile
def weight_scale_nan_in_one_channel() -> onnx.ModelProto:
    scales = np.array([1, 1, NAN, 1]).reshape(4, 1, 1, 1)
    return set_input(valid(), "/conv/w/Quant", SCALE, scales)


@hostile
def weight_scale_of_another_shape() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", SCALE, np.ones((7, 1, 1, 1)))


@hostile
def weight_scales_of_another_shape() -> onnx.ModelProto:
    scales = np.arange(1, 8).reshape(7, 1, 1, 1)
    return set_input(valid(), "/conv/w/Quant", SCALE, scales)


@hostile
def weight_scale_that_broadcasts_the_weights() -> onnx.ModelProto:
    return set_input(valid(), "/fc/w/Quant", SCALE, np.ones((3, 5, 36)))


@hostile
def weight_scales_without_common_divisor() -> onnx.ModelProto:
    scales = np.array([0.1, 1e-9, 1e6, 3.3, 1, 2, 3, 4, 5]).reshape(1, 1, 3, 3)
    return set_input(valid(), "/conv/w/Quant", SCALE, scales)


@hostile
def zero_point_nan() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", ZERO_POINT, NAN)


@hostile
def zero_point_far_away() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", ZERO_POINT, 1e30)


@hostile
def zero_point_that_is_text() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", ZERO_POINT, np.array(["0"], object), object)


@hostile
def width_zero() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", WIDTH, 0)


@hostile
def width_negative() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", WIDTH, -3)


@hostile
def width_of_a_billion() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", WIDTH, 1e9)


@hostile
def width_infinite() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", WIDTH, INFINITY)


@hostile
def width_of_two_and_a_half() -> onnx.ModelProto:
    return set_input(valid(), "/act/Quant", WIDTH, 2.5)


@hostile
def width_of_weights_of_a_billion() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", WIDTH, 1e9)


@hostile
def rounding_mode_unknown() -> onnx.ModelProto:
    return set_attribute(valid(), "/act/Quant", "rounding_mode", "SIDEWAYS")


@hostile
def rounding_mode_a_number() -> onnx.ModelProto:
    return set_attribute(valid(), "/act/Quant", "rounding_mode", 3)


@hostile
def signed_that_is_text() -> onnx.ModelProto:
    return set_attribute(valid(), "/act/Quant", "signed", "no")


@hostile
def narrow_that_is_a_list() -> onnx.ModelProto:
    return set_attribute(valid(), "/act/Quant", "narrow", [0, 0])


@hostile
def attribute_twice() -> onnx.ModelProto:
    """Signed and unsigned at once."""
    model = valid()
    node(model, "/act/Quant").attribute.append(helper.make_attribute("signed", 1))
    return model


@hostile
def attribute_of_the_calling_function() -> onnx.ModelProto:
    """A reference to an attribute of a function has no value outside one."""
    model = valid()
    signed = next(a for a in node(model, "/act/Quant").attribute if a.name == "signed")
    signed.ref_attr_name = "other"
    return model


@hostile
def weights_nan() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.full((4, 2, 3, 3), NAN))


@hostile
def weights_infinite() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.full((4, 2, 3, 3), -INFINITY))


@hostile
def weights_that_are_text() -> onnx.ModelProto:
    words = np.full((4, 2, 3, 3), "1", object)
    return set_input(valid(), "/conv/w/Quant", 0, words, object)


@hostile
def weights_complex() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.ones((4, 2, 3, 3)), np.complex64)


@hostile
def bias_nan() -> onnx.ModelProto:
    return set_input(valid(), "/fc/Gemm", 2, np.full(5, NAN))


@hostile
def bias_of_another_length() -> onnx.ModelProto:
    return set_input(valid(), "/fc/Gemm", 2, np.ones(4))


@hostile
def bias_that_is_text() -> onnx.ModelProto:
    return set_input(valid(), "/fc/Gemm", 2, np.array(["1"] * 5, object), object)


@hostile
def gamma_nan() -> onnx.ModelProto:
    return set_input(valid(), "/bn/BN", 1, [1, NAN, 1, 1])


@hostile
def mean_infinite() -> onnx.ModelProto:
    return set_input(valid(), "/bn/BN", 3, [1, INFINITY, 1, 1])


@hostile
def variance_negative() -> onnx.ModelProto:
    return set_input(valid(), "/bn/BN", 4, [1, -1, 1, 1])


@hostile
def variance_zero() -> onnx.ModelProto:
    model = set_attribute(valid(), "/bn/BN", "epsilon", 0.0)
    return set_input(model, "/bn/BN", 4, [0, 0, 0, 0])


@hostile
def statistics_of_other_channels() -> onnx.ModelProto:
    return set_input(valid(), "/bn/BN", 1, [1, 1, 1])


@hostile
def statistics_without_elements() -> onnx.ModelProto:
    return set_input(valid(), "/bn/BN", 1, [])


@hostile
def division_by_zero() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "Div", add_constant(model, 0.0))


@hostile
def sum_with_nan() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "Add", add_constant(model, NAN))


@hostile
def factor_that_broadcasts_the_activation() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "Mul", add_constant(model, np.ones((7, 1, 4, 1, 1))))


@hostile
def factor_per_position() -> onnx.ModelProto:
    model = valid()
    factors = np.arange(1, 37).reshape(6, 6)
    return insert(model, "/act/Relu", "Mul", add_constant(model, factors))


@hostile
def limits_that_are_nan() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Quant", "Clip", add_constant(model, NAN), add_constant(model, 1.0))


@hostile
def leak_that_is_nan() -> onnx.ModelProto:
    return insert(valid(), "/act/Quant", "LeakyRelu", alpha=NAN)


@hostile
def accumulator_of_sixty_bits() -> onnx.ModelProto:
    model = set_input(valid(), "/conv/w/Quant", WIDTH, 16)
    model = set_input(model, "/image/Quant", WIDTH, 16)
    scales = np.array([1, 2**20, 3, 5, 7, 9, 11, 13, 15]).reshape(1, 1, 3, 3)
    model = set_input(model, "/conv/w/Quant", SCALE, scales)
    return set_input(model, "/conv/w/Quant", 0, np.full((4, 2, 3, 3), 1e12))
