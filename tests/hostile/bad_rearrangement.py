# SPDX-License-Identifier: Apache-2.0
"""Operators that move data, asked for the impossible or the endless."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, set_attribute, valid
from onnx import helper


@hostile
def transpose_with_an_axis_twice() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "Transpose", perm=[0, 1, 1, 2])


@hostile
def transpose_of_the_batch() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "Transpose", perm=[1, 0, 2, 3])


@hostile
def transpose_with_too_many_axes() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "Transpose", perm=[0, 1, 2, 3, 4, 5])


@hostile
def transposed_weights_with_an_axis_twice() -> onnx.ModelProto:
    model = valid()
    quant = node(model, "/fc/w/Quant")
    new = helper.make_node("Transpose", [quant.output[0]], ["turned"], name="new", perm=[0, 0])
    model.graph.node.insert(list(model.graph.node).index(quant) + 1, new)
    node(model, "/fc/Gemm").input[1] = "turned"
    return model


def _pad(pads: list[int], *, mode: str = "constant", fill: float = 0.0) -> onnx.ModelProto:
    model = valid()
    constants = add_constant(model, pads, np.int64), add_constant(model, fill)
    return insert(model, "/conv/Conv", "Pad", *constants, mode=mode)


@hostile
def pad_by_2_to_the_40() -> onnx.ModelProto:
    return _pad([0, 0, 2**40, 2**40, 0, 0, 2**40, 2**40])


@hostile
def pad_by_a_negative_number() -> onnx.ModelProto:
    return _pad([0, 0, -1, -1, 0, 0, -1, -1])


@hostile
def pad_of_the_batch() -> onnx.ModelProto:
    return _pad([1, 0, 0, 0, 1, 0, 0, 0])


@hostile
def pad_with_too_few_numbers() -> onnx.ModelProto:
    return _pad([0, 0, 1])


@hostile
def pad_with_nan() -> onnx.ModelProto:
    return _pad([0, 0, 1, 1, 0, 0, 1, 1], fill=float("nan"))


@hostile
def pad_with_infinity() -> onnx.ModelProto:
    return _pad([0, 0, 1, 1, 0, 0, 1, 1], fill=float("inf"))


@hostile
def pad_with_a_small_part_of_a_code() -> onnx.ModelProto:
    return _pad([0, 0, 1, 1, 0, 0, 1, 1], fill=0.001)


@hostile
def pad_by_reflection() -> onnx.ModelProto:
    return _pad([0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")


def _resize(scales: list[float], **attributes: str) -> onnx.ModelProto:
    model = valid()
    given = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"} | attributes
    insert(model, "/conv/Conv", "Resize", "", add_constant(model, scales), **given)
    return model


@hostile
def resize_by_nothing() -> onnx.ModelProto:
    return _resize([1, 1, 0, 0])


@hostile
def resize_by_nan() -> onnx.ModelProto:
    return _resize([1, 1, float("nan"), 1])


@hostile
def resize_by_infinity() -> onnx.ModelProto:
    return _resize([1, 1, float("inf"), 1])


@hostile
def resize_by_1e30() -> onnx.ModelProto:
    return _resize([1, 1, 1e30, 1e30])


@hostile
def resize_by_a_million() -> onnx.ModelProto:
    return _resize([1, 1, 2.0**20, 2.0**20])


@hostile
def resize_by_a_negative_number() -> onnx.ModelProto:
    return _resize([1, 1, -2, -2])


@hostile
def resize_of_the_channels() -> onnx.ModelProto:
    return _resize([1, 2, 1, 1])


@hostile
def resize_with_too_few_scales() -> onnx.ModelProto:
    return _resize([2])


@hostile
def resize_by_interpolation() -> onnx.ModelProto:
    return _resize([1, 1, 2, 2], mode="cubic")


@hostile
def resize_without_scales() -> onnx.ModelProto:
    return insert(valid(), "/conv/Conv", "Resize")


@hostile
def depth_to_space_of_block_zero() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "DepthToSpace", blocksize=0)


@hostile
def depth_to_space_of_a_negative_block() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "DepthToSpace", blocksize=-2)


@hostile
def depth_to_space_of_a_huge_block() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "DepthToSpace", blocksize=2**40)


@hostile
def depth_to_space_in_an_unknown_mode() -> onnx.ModelProto:
    return insert(valid(), "/Flatten", "DepthToSpace", blocksize=2, mode="XYZ")


def _concatenation(**attributes: int) -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Concat", node(model, "/act/Quant").output[0], **attributes)


@hostile
def concatenation_of_different_sizes() -> onnx.ModelProto:
    return _concatenation(axis=1)


@hostile
def concatenation_along_axis_nine() -> onnx.ModelProto:
    return _concatenation(axis=9)


@hostile
def concatenation_along_no_axis() -> onnx.ModelProto:
    return _concatenation()


@hostile
def concatenation_with_the_real_input() -> onnx.ModelProto:
    return insert(valid(), "/conv/Conv", "Concat", "x", axis=1)


@hostile
def sum_of_different_sizes() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Add", node(model, "/act/Quant").output[0])


@hostile
def sum_with_the_real_input() -> onnx.ModelProto:
    return insert(valid(), "/conv/Conv", "Add", "x")


@hostile
def squeeze_of_a_long_axis() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Squeeze", add_constant(model, [1], np.int64))


@hostile
def squeeze_of_axis_ninety() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Squeeze", add_constant(model, [90], np.int64))


@hostile
def unsqueeze_of_axis_ninety() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "Unsqueeze", add_constant(model, [90], np.int64))


@hostile
def unsqueeze_of_a_thousand_axes() -> onnx.ModelProto:
    model = valid()
    axes = add_constant(model, np.arange(1, 1001), np.int64)
    return insert(model, "/Flatten", "Unsqueeze", axes)


def _shape_by(operator: str, *values: object, dtype: type = np.int64, **attributes: int):
    """A Reshape whose target is computed by `operator` from constants."""
    model = valid()
    names = [add_constant(model, value, dtype) for value in values]
    insert(model, "/Flatten", "Reshape", "target")
    new = helper.make_node(operator, names, ["target"], name="target", **attributes)
    model.graph.node.insert(0, new)
    return model


@hostile
def shape_of_a_trillion_numbers() -> onnx.ModelProto:
    return _shape_by("ConstantOfShape", [2**40])


@hostile
def shape_of_a_negative_number_of_numbers() -> onnx.ModelProto:
    return _shape_by("ConstantOfShape", [-3])


@hostile
def shape_gathered_out_of_range() -> onnx.ModelProto:
    return _shape_by("Gather", [1, 36], [5])


@hostile
def shape_gathered_along_axis_nine() -> onnx.ModelProto:
    return _shape_by("Gather", [1, 36], [0, 1], axis=9)


@hostile
def shape_sliced_by_step_zero() -> onnx.ModelProto:
    return _shape_by("Slice", [1, 36], [0], [2], [0], [0])


@hostile
def shape_sliced_along_axis_nine() -> onnx.ModelProto:
    return _shape_by("Slice", [1, 36], [0], [2], [9], [1])


@hostile
def shape_divided_by_zero() -> onnx.ModelProto:
    return _shape_by("Div", [1, 36], [0, 0])


@hostile
def shape_of_two_ranks_added() -> onnx.ModelProto:
    return _shape_by("Add", [1, 36], [1, 2, 3])


@hostile
def shape_to_the_power_of_a_thousand() -> onnx.ModelProto:
    return _shape_by("Pow", [2.0, 36.0], [1000.0, 1000.0], dtype=np.float32)


@hostile
def shape_from_a_negative_root() -> onnx.ModelProto:
    return _shape_by("Sqrt", [-1.0, -36.0], dtype=np.float32)


@hostile
def shape_cast_to_text() -> onnx.ModelProto:
    return _shape_by("Cast", [1, 36], to=onnx.TensorProto.STRING)


@hostile
def shape_cast_to_an_unknown_type() -> onnx.ModelProto:
    return _shape_by("Cast", [1, 36], to=99)


@hostile
def shapes_that_double_sixty_times() -> onnx.ModelProto:
    """Each Concat doubles its input: 2^60 numbers from 60 nodes."""
    model = valid()
    last = add_constant(model, [1], np.int64)
    insert(model, "/Flatten", "Reshape", "d59")
    for i in range(60):
        new = helper.make_node("Concat", [last, last], [f"d{i}"], name=f"d{i}", axis=0)
        model.graph.node.insert(i, new)
        last = f"d{i}"
    return model


@hostile
def largest_of_axis_two() -> onnx.ModelProto:
    model = valid()
    return insert(model, "/Flatten", "ArgMax", axis=2)


@hostile
def largest_from_the_end() -> onnx.ModelProto:
    """The last of equal maxima is not the first."""
    model = valid()
    model.graph.node.append(
        helper.make_node(
            "ArgMax", [model.graph.output[0].name], ["best"], axis=1, select_last_index=1
        )
    )
    model.graph.output[0].name = "best"
    set_attribute(model, "/pool/MaxPool", "kernel_shape", [2, 2])
    return model
