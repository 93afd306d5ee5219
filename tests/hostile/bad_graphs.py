# SPDX-License-Identifier: Apache-2.0
"""Graphs that are none: cycles, loose ends, operators that nobody knows, nested graphs."""

import numpy as np
import onnx
from corpus import add_constant, hostile, insert, node, valid
from onnx import TensorProto, helper


@hostile
def empty_graph() -> onnx.ModelProto:
    model = valid()
    del model.graph.node[:]
    return model


@hostile
def cycle() -> onnx.ModelProto:
    model = valid()
    node(model, "/conv/Conv").input[0] = node(model, "/pool/MaxPool").output[0]
    return model


@hostile
def node_that_reads_itself() -> onnx.ModelProto:
    model = valid()
    relu = node(model, "/act/Relu")
    relu.input[0] = relu.output[0]
    return model


@hostile
def cycle_of_ten_thousand() -> onnx.ModelProto:
    model = valid()
    chain = [helper.make_node("Identity", [f"c{(i - 1) % 10000}"], [f"c{i}"]) for i in range(10000)]
    model.graph.node.extend(chain)
    node(model, "/fc/Gemm").input[0] = "c9999"
    return model


@hostile
def reversed_order() -> onnx.ModelProto:
    model = valid()
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@hostile
def dangling_input() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Relu").input[0] = "nowhere"
    return model


@hostile
def dangling_weights() -> onnx.ModelProto:
    model = valid()
    node(model, "/conv/w/Quant").input[0] = "nowhere"
    return model


@hostile
def dangling_output() -> onnx.ModelProto:
    model = valid()
    model.graph.output[0].name = "nowhere"
    return model


@hostile
def tensor_written_twice() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Quant").output[0] = node(model, "/conv/Conv").output[0]
    return model


@hostile
def initializer_written_by_a_node() -> onnx.ModelProto:
    model = valid()
    pool = node(model, "/pool/MaxPool")
    model.graph.initializer[0].name = pool.output[0]
    return model


@hostile
def initializer_twice() -> onnx.ModelProto:
    model = valid()
    model.graph.initializer.append(model.graph.initializer[0])
    return model


@hostile
def input_written_by_a_node() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Relu").output[0] = "x"
    return model


@hostile
def output_is_the_input() -> onnx.ModelProto:
    model = valid()
    model.graph.output[0].name = "x"
    return model


@hostile
def output_is_a_constant() -> onnx.ModelProto:
    model = valid()
    model.graph.output[0].name = model.graph.initializer[0].name
    return model


@hostile
def output_is_a_weight_quantizer() -> onnx.ModelProto:
    model = valid()
    model.graph.output[0].name = node(model, "/conv/w/Quant").output[0]
    return model


@hostile
def output_behind_a_relu() -> onnx.ModelProto:
    model = valid()
    model.graph.output[0].name = node(model, "/act/Relu").output[0]
    return model


@hostile
def no_input() -> onnx.ModelProto:
    model = valid()
    del model.graph.input[:]
    return model


@hostile
def two_inputs() -> onnx.ModelProto:
    model = valid()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4]))
    return model


@hostile
def two_inputs_of_one_name() -> onnx.ModelProto:
    model = valid()
    model.graph.input.append(model.graph.input[0])
    return model


@hostile
def no_output() -> onnx.ModelProto:
    model = valid()
    del model.graph.output[:]
    return model


@hostile
def two_outputs() -> onnx.ModelProto:
    model = valid()
    name = node(model, "/pool/MaxPool").output[0]
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model


@hostile
def unknown_operator() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Relu").op_type = "Frobnicate"
    return model


@hostile
def unknown_domain() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Relu").domain = "com.example.evil"
    return model


@hostile
def imported_unknown_domain() -> onnx.ModelProto:
    model = unknown_domain()
    model.opset_import.append(helper.make_opsetid("com.example.evil", 1))
    return model


@hostile
def known_name_in_another_domain() -> onnx.ModelProto:
    """A Conv of com.example need not be ONNX's Conv."""
    model = valid()
    node(model, "/conv/Conv").domain = "com.example.evil"
    model.opset_import.append(helper.make_opsetid("com.example.evil", 1))
    return model


@hostile
def nameless_operator() -> onnx.ModelProto:
    model = valid()
    node(model, "/act/Relu").op_type = ""
    return model


@hostile
def branch_of_subgraphs() -> onnx.ModelProto:
    model = valid()
    name = node(model, "/act/Relu").input[0]
    body = helper.make_graph(
        [helper.make_node("Relu", [name], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    condition = add_constant(model, True, np.bool_)
    insert(model, "/act/Relu", "If", then_branch=body, else_branch=body)
    node(model, "new").input[0] = condition
    return model


@hostile
def loop() -> onnx.ModelProto:
    model = valid()
    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["state"], ["next"]),
        ],
        "body",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("go", TensorProto.BOOL, []),
            tensor("state", TensorProto.FLOAT, None),
        ],
        [tensor("go_on", TensorProto.BOOL, []), tensor("next", TensorProto.FLOAT, None)],
    )
    count = add_constant(model, 2**62, np.int64)
    go = add_constant(model, True, np.bool_)
    insert(model, "/act/Relu", "Loop", body=body)
    new = node(model, "new")
    new.input[:] = [count, go, new.input[0]]
    return model


@hostile
def function_that_calls_itself() -> onnx.ModelProto:
    model = valid()
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
    inner = helper.make_node("Again", ["a"], ["b"], domain="local")
    model.functions.append(helper.make_function("local", "Again", ["a"], ["b"], [inner], imports))
    model.opset_import.append(helper.make_opsetid("local", 1))
    relu = node(model, "/act/Relu")
    relu.op_type, relu.domain = "Again", "local"
    return model


@hostile
def function_named_like_an_operator() -> onnx.ModelProto:
    """A local function may not silently stand in for a quantizer."""
    model = valid()
    domain = "qonnx.custom_op.general"
    body = helper.make_node("Neg", ["a"], ["b"])
    imports = [helper.make_opsetid("", 13)]
    model.functions.append(
        helper.make_function(domain, "Quant", ["a", "s", "z", "n"], ["b"], [body], imports)
    )
    return model
