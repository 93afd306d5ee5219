# SPDX-License-Identifier: Apache-2.0
"""Tensors that are damaged themselves, as initializers and in Constant nodes."""

import numpy as np
import onnx
from corpus import add_constant, hostile, node, set_tensor, valid
from onnx import TensorProto, helper


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
