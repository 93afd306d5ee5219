# SPDX-License-Identifier: Apache-2.0
"""Poolings, reductions and the like that ask for the impossible or the endless."""

import onnx
from corpus import hostile, insert, set_attribute, valid


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
