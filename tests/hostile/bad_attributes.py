# SPDX-License-Identifier: Apache-2.0
"""Attributes and sizes that fit no layer."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, set_input, valid
from onnx import TensorProto, helper

HUGE = 2**31


def _input_shape(*sizes: int | str | None) -> onnx.ModelProto:
    model = valid()
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes))
    return model


@hostile
def input_of_2_to_the_31() -> onnx.ModelProto:
    return _input_shape(1, 2, HUGE, HUGE)


@hostile
def input_of_a_million_squared() -> onnx.ModelProto:
    return _input_shape(1, 2, 1 << 20, 1 << 20)


@hostile
def input_of_negative_size() -> onnx.ModelProto:
    return _input_shape(1, 2, -6, -6)


@hostile
def input_of_size_zero() -> onnx.ModelProto:
    return _input_shape(1, 2, 0, 6)


@hostile
def input_of_unknown_size() -> onnx.ModelProto:
    return _input_shape(1, 2, "H", "W")


@hostile
def input_of_rank_zero() -> onnx.ModelProto:
    return _input_shape()


@hostile
def input_of_rank_nine() -> onnx.ModelProto:
    return _input_shape(1, 2, 1, 1, 1, 1, 1, 6, 6)


@hostile
def input_without_type() -> onnx.ModelProto:
    model = valid()
    model.graph.input[0].ClearField("type")
    return model


@hostile
def input_of_strings() -> onnx.ModelProto:
    model = valid()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    return model


@hostile
def input_that_is_a_sequence() -> onnx.ModelProto:
    model = valid()
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 2, 6, 6])
    model.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(element))
    return model


@hostile
def other_input_channels() -> onnx.ModelProto:
    return _input_shape(1, 3, 6, 6)


@hostile
def other_input_size() -> onnx.ModelProto:
    return _input_shape(1, 2, 8, 8)


@hostile
def kernel_larger_than_the_image() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.ones((4, 2, 9, 9)))


@hostile
def kernel_shape_that_contradicts_the_weights() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "kernel_shape", [1, 1])


@hostile
def weights_of_rank_five() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.ones((4, 2, 3, 3, 1)))


@hostile
def weights_without_elements() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.ones((0, 2, 3, 3)))


@hostile
def weights_without_kernel() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, np.ones((4, 2, 0, 0)))


@hostile
def scalar_weights() -> onnx.ModelProto:
    return set_input(valid(), "/conv/w/Quant", 0, 1.0)


@hostile
def negative_padding() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "pads", [-1, -1, -1, -1])


@hostile
def padding_of_2_to_the_31() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "pads", [HUGE] * 4)


@hostile
def too_few_pads() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "pads", [1, 1])


@hostile
def odd_number_of_pads() -> onnx.ModelProto:
    return set_attribute(valid(), "/pool/MaxPool", "pads", [1, 0, 0])


@hostile
def stride_zero() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "strides", [0, 1])


@hostile
def negative_stride() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "strides", [-1, 1])


@hostile
def too_many_strides() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "strides", [1, 1, 1])


@hostile
def dilation_zero() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "dilations", [0, 0])


@hostile
def dilation_of_2_to_the_62() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "dilations", [2**62, 2**62])


@hostile
def no_groups() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "group", 0)


@hostile
def negative_groups() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "group", -1)


@hostile
def groups_that_do_not_divide() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "group", 3)


@hostile
def unknown_automatic_padding() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "auto_pad", "SAME_AS_YESTERDAY")


@hostile
def strides_that_are_text() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "strides", "1,1")


@hostile
def pads_that_are_floats() -> onnx.ModelProto:
    return set_attribute(valid(), "/conv/Conv", "pads", [0.5, 0.5, 0.5, 0.5])


@hostile
def epsilon_that_is_text() -> onnx.ModelProto:
    return set_attribute(valid(), "/bn/BN", "epsilon", "small")


@hostile
def epsilon_that_is_no_number() -> onnx.ModelProto:
    return set_attribute(valid(), "/bn/BN", "epsilon", float("nan"))


@hostile
def batch_normalization_in_training() -> onnx.ModelProto:
    """Its result depends on the batch."""
    model = valid()
    model.opset_import[0].version = 15
    return set_attribute(model, "/bn/BN", "training_mode", 1)


@hostile
def dropout_in_training() -> onnx.ModelProto:
    """Its result is random."""
    model = valid()
    ratio, training = add_constant(model, 0.5), add_constant(model, True, np.bool_)
    return insert(model, "/conv/Conv", "Dropout", ratio, training)


@hostile
def pool_without_a_kernel() -> onnx.ModelProto:
    model = valid()
    del node(model, "/pool/MaxPool").attribute[:]
    return model


@hostile
def pool_of_size_zero() -> onnx.ModelProto:
    return set_attribute(valid(), "/pool/MaxPool", "kernel_shape", [0, 0])


@hostile
def pool_of_three_axes() -> onnx.ModelProto:
    return set_attribute(valid(), "/pool/MaxPool", "kernel_shape", [2, 2, 2])


@hostile
def pool_of_nothing_but_padding() -> onnx.ModelProto:
    return set_attribute(valid(), "/pool/MaxPool", "pads", [5, 5, 5, 5])


@hostile
def pool_with_column_major_storage_and_indices() -> onnx.ModelProto:
    """The second output, positions of the maxima, is read."""
    model = valid()
    pool = node(model, "/pool/MaxPool")
    pool.output.append("positions")
    node(model, "/Flatten").input[0] = "positions"
    return model


@hostile
def average_of_2_to_the_31() -> onnx.ModelProto:
    return insert(
        valid(), "/Flatten", "AveragePool", kernel_shape=[1, 1], pads=[HUGE] * 4,
        count_include_pad=1,
    )  # fmt: skip


@hostile
def flatten_behind_the_last_axis() -> onnx.ModelProto:
    return set_attribute(valid(), "/Flatten", "axis", 7)


@hostile
def flatten_of_the_batch() -> onnx.ModelProto:
    return set_attribute(valid(), "/Flatten", "axis", 0)


def _reshape(shape: list[int], dtype: type = np.int64) -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Reshape", add_constant(model, shape, dtype))


@hostile
def reshape_to_another_size() -> onnx.ModelProto:
    return _reshape([1, 5, 5])


@hostile
def reshape_with_two_unknowns() -> onnx.ModelProto:
    return _reshape([1, -1, -1])


@hostile
def reshape_to_negative_sizes() -> onnx.ModelProto:
    return _reshape([1, -4, -9])


@hostile
def reshape_to_2_to_the_62() -> onnx.ModelProto:
    return _reshape([1, 2**62, 2**62])


@hostile
def reshape_to_zero_sizes() -> onnx.ModelProto:
    return _reshape([1, 0, 0, 0, 0, 0, 0])


@hostile
def reshape_to_nothing() -> onnx.ModelProto:
    return _reshape([])


@hostile
def reshape_that_mixes_the_batch() -> onnx.ModelProto:
    return _reshape([4, 9])


@hostile
def reshape_by_floats() -> onnx.ModelProto:
    return _reshape([1.5, float("nan")], np.float32)


@hostile
def reshape_by_the_activation() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Reshape", node(model, "/pool/MaxPool").output[0])
