# SPDX-License-Identifier: Apache-2.0
"""Streams between hardware nodes: width converters where words differ, a FIFO on every stream."""

from __future__ import annotations

from math import lcm

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.fpga.finn_import import InsertDWC, InsertFIFO
from qdeploy.fpga.mapping import node_attribute, set_attributes, specialize, unique_name

CONVERTER = "StreamingDataWidthConverter"
FIFO_DEPTH = 2


def insert_streams(model: ModelWrapper) -> ModelWrapper:
    """The model with converters and FIFOs in front of its nodes and a FIFO at its output."""
    model = model.transform(InsertDWC())
    _split_converters(model)
    _name(model, CONVERTER, "_width")
    specialize(model)
    for node in model.graph.node:
        set_attributes(node, inFIFODepths=[FIFO_DEPTH], outFIFODepths=[FIFO_DEPTH])
    model = model.transform(InsertFIFO(create_shallow_fifos=True))
    _name(model, "StreamingFIFO", "_fifo")
    specialize(model)
    return model


def _split_converters(model: ModelWrapper) -> None:
    """Two steps through the least common multiple where neither width divides the other."""
    for index, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != CONVERTER:
            continue
        converter = getCustomOp(node)
        width_in, width_out = (converter.get_nodeattr(n) for n in ("inWidth", "outWidth"))
        common = lcm(width_in, width_out)
        if common in (width_in, width_out):
            continue
        between = model.make_new_valueinfo_name()
        info = model.get_tensor_valueinfo(node.output[0])
        model.graph.value_info.append(
            helper.make_tensor_value_info(
                between, info.type.tensor_type.elem_type, converter.get_nodeattr("outShape")
            )
        )
        model.set_tensor_datatype(between, converter.get_output_datatype())
        second = NodeProto()
        second.CopyFrom(node)
        second.input[0] = between
        set_attributes(second, inShape=converter.get_nodeattr("outShape"), inWidth=common)
        node.output[0] = between
        set_attributes(node, outWidth=common)
        model.graph.node.insert(index + 1, second)


def _name(model: ModelWrapper, kind: str, suffix: str) -> None:
    """Name new nodes and their tensors after the node they feed, and annotate the tensors."""
    taken = {node.name for node in model.graph.node}
    tensors = set(model.get_all_tensor_names())
    for node in model.graph.node:
        if node.op_type != kind:
            continue
        reader = model.find_consumer(node.output[0])
        while reader is not None and not reader.name:
            reader = model.find_consumer(reader.output[0])
        neighbour = reader or model.find_producer(node.input[0])
        node.name = unique_name(f"{reader.name if reader else 'output'}{suffix}", taken)
        set_attributes(node, layer=node_attribute(neighbour, "layer"))
        new = node.output[0] if reader else node.input[0]
        model.set_tensor_datatype(new, getCustomOp(node).get_output_datatype())
        model.rename_tensor(new, unique_name(node.name, tensors))
