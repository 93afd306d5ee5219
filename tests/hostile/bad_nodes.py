# SPDX-License-Identifier: Apache-2.0
"""Nodes without what they need, and networks that are no quantized ones."""

import numpy as np
import onnx
from corpus import hostile, node, set_input, valid
from onnx import helper
from qonnx_files import QonnxFile


@hostile
def node_without_inputs() -> onnx.ModelProto:
    model = valid()
    del node(model, "/act/Relu").input[:]
    return model


@hostile
def node_without_outputs() -> onnx.ModelProto:
    model = valid()
    del node(model, "/act/Relu").output[:]
    return model


@hostile
def convolution_without_weights() -> onnx.ModelProto:
    model = valid()
    del node(model, "/conv/Conv").input[1:]
    return model


@hostile
def quantizer_without_width() -> onnx.ModelProto:
    model = valid()
    del node(model, "/act/Quant").input[3:]
    return model


@hostile
def quantizer_with_an_empty_scale_name() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Quant").input[1] = ""
    return model


@hostile
def quantizer_whose_scale_is_computed() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Quant").input[1] = node(model, "/act/Relu").output[0]
    return model


@hostile
def convolution_with_computed_weights() -> onnx.ModelProto:
    model = valid()
    conv = node(model, "/conv/Conv")
    conv.input[1] = conv.input[0]
    return model


@hostile
def convolution_of_a_constant() -> onnx.ModelProto:
    model = valid()
    return set_input(model, "/conv/Conv", 0, np.ones((1, 2, 6, 6)))


@hostile
def weights_quantized_twice() -> onnx.ModelProto:
    model = valid()
    first, second = node(model, "/conv/w/Quant"), node(model, "/fc/w/Quant")
    second.input[0] = first.output[0]
    node(model, "/fc/Gemm").input[1] = second.output[0]
    return model


@hostile
def product_of_two_activations() -> onnx.ModelProto:
    model = valid()
    gemm = node(model, "/fc/Gemm")
    gemm.input[1] = gemm.input[0]
    return model


@hostile
def chain_of_ten_thousand_relus() -> onnx.ModelProto:
    model = valid()
    last = model.graph.output[0].name
    for i in range(10_000):
        model.graph.node.append(helper.make_node("Relu", [last], [f"r{i}"], name=f"relu{i}"))
        last = f"r{i}"
    model.graph.output[0].name = last
    return model


@hostile
def names_that_are_no_text() -> bytes:
    return valid().SerializeToString().replace(b"/act/Relu", b"/act/\xff\xfe\xfd\xfc")


@hostile
def float_network() -> onnx.ModelProto:
    f = QonnxFile((4,))
    return f.model(f.node("MatMul", "x", f.constant(np.eye(4))))
