# SPDX-License-Identifier: Apache-2.0
"""Initializers and constants: values that are no numbers, types and sizes that are no tensors."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, set_input, set_tensor, valid
from onnx import TensorProto, helper

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


# Tensors that are damaged themselves.


def _weights(**fields: object) -> onnx.ModelProto:
    fields = {"name": "bad", "dims": [4, 2, 3, 3], "data_type": TensorProto.FLOAT} | fields
    return set_tensor(valid(), "/conv/w/Quant", 0, TensorProto(**fields))


@hostile
def gigabyte_in_a_kilobyte() -> onnx.ModelProto:
    return _weights(dims=[1 << 28], raw_data=b"\0" * 16)


@hostile
def gigabyte_of_single_floats() -> onnx.ModelProto:
    return _weights(dims=[1 << 28], float_data=[1.0] * 8)


@hostile
def exabytes() -> onnx.ModelProto:
    return _weights(dims=[2**31, 2**31], raw_data=b"\0" * 16)


@hostile
def product_of_sizes_that_overflows() -> onnx.ModelProto:
    return _weights(dims=[2**32, 2**32, 1, 1], raw_data=b"")


@hostile
def negative_sizes() -> onnx.ModelProto:
    return _weights(dims=[-4, -2, 3, 3], raw_data=b"\0" * 288)


@hostile
def nothing_times_2_to_the_62() -> onnx.ModelProto:
    return _weights(dims=[0, 2**62], raw_data=b"")


@hostile
def too_many_bytes() -> onnx.ModelProto:
    return _weights(raw_data=b"\0" * 1000)


@hostile
def two_kinds_of_data() -> onnx.ModelProto:
    return _weights(raw_data=b"\0" * 288, float_data=[1.0] * 72)


@hostile
def no_data() -> onnx.ModelProto:
    return _weights()


@hostile
def type_undefined() -> onnx.ModelProto:
    return _weights(data_type=0, raw_data=b"\0" * 288)


@hostile
def type_unknown() -> onnx.ModelProto:
    return _weights(data_type=99, raw_data=b"\0" * 288)


@hostile
def sparse_weights() -> onnx.ModelProto:
    model = valid()
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [2**40])
    sparse = helper.make_sparse_tensor(values, indices, [2**40, 2**20])
    model.graph.sparse_initializer.append(sparse)
    node(model, "/conv/w/Quant").input[0] = "sparse"
    return model


def _elsewhere(location: str) -> TensorProto:
    tensor = TensorProto(
        name="bad", dims=[8], data_type=TensorProto.UINT8, data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=location)
    return tensor


@hostile
def data_above_the_folder() -> onnx.ModelProto:
    return set_tensor(valid(), "/conv/w/Quant", 0, _elsewhere("../../../../../etc/passwd"))


@hostile
def data_at_an_absolute_path() -> onnx.ModelProto:
    return set_tensor(valid(), "/conv/w/Quant", 0, _elsewhere("/etc/passwd"))


@hostile
def data_in_the_model_file_itself() -> onnx.ModelProto:
    return set_tensor(valid(), "/conv/w/Quant", 0, _elsewhere("hostile.onnx"))


@hostile
def data_in_no_file() -> onnx.ModelProto:
    return set_tensor(valid(), "/conv/w/Quant", 0, _elsewhere(""))


# The same in Constant nodes.


def _constant(**attributes: object) -> onnx.ModelProto:
    model = valid()
    new = helper.make_node("Constant", [], ["bad"], name="new", **attributes)
    model.graph.node.insert(0, new)
    node(model, "/conv/w/Quant").input[0] = "bad"
    return model


@hostile
def constant_above_the_folder() -> onnx.ModelProto:
    return _constant(value=_elsewhere("../../../../../etc/passwd"))


@hostile
def constant_at_an_absolute_path() -> onnx.ModelProto:
    return _constant(value=_elsewhere("/etc/passwd"))


@hostile
def constant_in_the_model_file_itself() -> onnx.ModelProto:
    return _constant(value=_elsewhere("hostile.onnx"))


@hostile
def constant_of_a_gigabyte() -> onnx.ModelProto:
    tensor = TensorProto(dims=[1 << 28], data_type=TensorProto.FLOAT, raw_data=b"\0" * 16)
    return _constant(value=tensor)


@hostile
def constant_of_unknown_type() -> onnx.ModelProto:
    return _constant(value=TensorProto(dims=[2], data_type=99, raw_data=b"\0" * 16))


@hostile
def constant_without_a_value() -> onnx.ModelProto:
    return _constant()


@hostile
def constant_with_two_values() -> onnx.ModelProto:
    return _constant(value_float=1.0, value_int=1)


@hostile
def constant_that_is_text() -> onnx.ModelProto:
    return _constant(value_string="weights")


@hostile
def constant_that_is_many_texts() -> onnx.ModelProto:
    return _constant(value_strings=["a", "b"])


@hostile
def constant_that_is_sparse() -> onnx.ModelProto:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [2**40])
    return _constant(sparse_value=helper.make_sparse_tensor(values, indices, [2**40, 2**20]))


@hostile
def constant_that_fills_the_memory() -> onnx.ModelProto:
    """ConstantOfShape: 4 TB from a few bytes."""
    model = valid()
    shape = add_constant(model, [2**20, 2**20], np.int64)
    new = helper.make_node("ConstantOfShape", [shape], ["bad"], name="new")
    model.graph.node.insert(0, new)
    node(model, "/conv/w/Quant").input[0] = "bad"
    return model
