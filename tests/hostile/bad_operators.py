# SPDX-License-Identifier: Apache-2.0
"""Poolings, reductions and the like that ask for the impossible or the endless."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, set_input, valid


@hostile
def automatic_padding_of_an_endless_stride() -> onnx.ModelProto:
    model = set_attribute(valid(), "/pool/MaxPool", "auto_pad", "SAME_UPPER")
    return set_attribute(model, "/pool/MaxPool", "strides", [2**62, 0])


@hostile
def automatic_padding_of_an_endless_kernel() -> onnx.ModelProto:
    model = set_attribute(valid(), "/pool/MaxPool", "auto_pad", "SAME_LOWER")
    return set_attribute(model, "/pool/MaxPool", "kernel_shape", [2**62, 2**62])


@hostile
def average_of_an_endless_border() -> onnx.ModelProto:
    """Each position would have a divisor of its own."""
    model = valid()
    return insert(
        model, "/pool/MaxPool", "AveragePool", kernel_shape=[2**20, 3], pads=[2**20 - 1, 1] * 2
    )


@hostile
def dilated_pool_beyond_its_image() -> onnx.ModelProto:
    model = set_attribute(valid(), "/pool/MaxPool", "dilations", [7, 7])
    return set_attribute(model, "/pool/MaxPool", "pads", [7, 7, 7, 7])


@hostile
def reduction_over_the_batch() -> onnx.ModelProto:
    return insert(valid(), "/fc/Gemm", "ReduceMax", axes=[0], keepdims=1)


@hostile
def reduction_over_an_axis_twice() -> onnx.ModelProto:
    return insert(valid(), "/fc/Gemm", "ReduceMean", axes=[1, 1], keepdims=1)


@hostile
def reduction_over_everything() -> onnx.ModelProto:
    return insert(valid(), "/fc/Gemm", "ReduceMax", keepdims=1)


def _slice(
    starts: list[int], ends: list[int], axes: list[int], steps: list[int]
) -> onnx.ModelProto:
    model = valid()
    constants = [add_constant(model, numbers, np.int64) for numbers in (starts, ends, axes, steps)]
    return insert(model, "/Flatten", "Slice", *constants)


@hostile
def slice_of_the_batch() -> onnx.ModelProto:
    return _slice([1], [2**62], [0], [1])


@hostile
def slice_of_nothing() -> onnx.ModelProto:
    return _slice([2], [2], [1], [1])


@hostile
def slice_with_step_zero() -> onnx.ModelProto:
    return _slice([0], [2], [1], [0])


@hostile
def slice_backwards() -> onnx.ModelProto:
    return _slice([2**62], [-(2**62)], [2], [-1])


@hostile
def slice_of_a_missing_axis() -> onnx.ModelProto:
    return _slice([0], [1], [2**40], [1])


@hostile
def slice_without_ends() -> onnx.ModelProto:
    return _slice([0, 0], [1], [1, 2], [1, 1])


@hostile
def split_into_other_sizes() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Split", add_constant(model, [2**62], np.int64), axis=1)


@hostile
def split_of_negative_sizes() -> onnx.ModelProto:
    model = valid()
    sizes = add_constant(model, [-4, 4, 4], np.int64)
    insert(model, "/Flatten", "Split", sizes, axis=1)
    node(model, "new").output.extend(["part", "other"])
    return model


@hostile
def gather_of_a_missing_channel() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Gather", add_constant(model, [4], np.int64), axis=1)


@hostile
def gather_of_the_batch() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Gather", add_constant(model, [0], np.int64), axis=0)


@hostile
def slopes_that_fall() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "PRelu", add_constant(model, [-0.5]))


@hostile
def slopes_that_are_no_numbers() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "PRelu", add_constant(model, [np.nan]))


@hostile
def hard_sigmoid_that_falls() -> onnx.ModelProto:
    return insert(valid(), "/act/Relu", "HardSigmoid", alpha=-1.0)


@hostile
def maximum_with_nan() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "Max", add_constant(model, np.nan))


@hostile
def maximum_with_infinity() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/act/Relu", "Max", add_constant(model, np.inf))


@hostile
def blocks_of_2_to_the_62() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "SpaceToDepth", blocksize=2**62)


@hostile
def blocks_that_do_not_fit() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "SpaceToDepth", blocksize=2)


def _transposed(**given: object) -> onnx.ModelProto:
    model = valid()
    layer = node(model, "/conv/Conv")
    layer.op_type = "ConvTranspose"
    del layer.attribute[:]
    for name, value in given.items():
        set_attribute(model, "/conv/Conv", name, value)
    return set_input(model, "/conv/w/Quant", 0, np.ones((2, 4, 3, 3)))


@hostile
def transposed_with_a_stride_of_2_to_the_40() -> onnx.ModelProto:
    return _transposed(strides=[2**40, 2**40])


@hostile
def transposed_with_stride_zero() -> onnx.ModelProto:
    return _transposed(strides=[0, 0])


@hostile
def transposed_with_endless_output_padding() -> onnx.ModelProto:
    return _transposed(output_padding=[2**40, 2**40])


@hostile
def transposed_to_nothing() -> onnx.ModelProto:
    return _transposed(pads=[9, 9, 9, 9])


@hostile
def transposed_to_an_endless_shape() -> onnx.ModelProto:
    return _transposed(output_shape=[2**40, 2**40])


@hostile
def transposed_without_groups() -> onnx.ModelProto:
    return _transposed(group=0)


@hostile
def transposed_with_too_few_pads() -> onnx.ModelProto:
    return _transposed(pads=[1])
