# SPDX-License-Identifier: Apache-2.0
"""Streams between hardware nodes: width converters where words differ, and FIFOs."""

from __future__ import annotations

from math import ceil, lcm, prod
from typing import Any

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.fpga.branches import join_depths
from qdeploy.fpga.finn_import import InsertDWC, InsertFIFO
from qdeploy.fpga.mapping import node_attribute, set_attributes, specialize, unique_name

CONVERTER = "StreamingDataWidthConverter"
SHALLOW = 2  # cuts the combinational ready path between two operators


def insert_streams(model: ModelWrapper, cycles_per_frame: int) -> ModelWrapper:
    """The model with converters between streams of unequal words and FIFOs.

    A FIFO stands in front of every operator but the converters, and at the output.
    """
    model = model.transform(InsertDWC())
    _split_converters(model)
    _name(model, CONVERTER, "_width")
    specialize(model)
    joins = join_depths(model, cycles_per_frame, SHALLOW)
    for node in model.graph.node:
        depth = SHALLOW
        if node.op_type == "FMPadding_rtl":
            depth = padding_depth(getCustomOp(node), cycles_per_frame)
        elif node.op_type == "MVAU_rtl":
            writer = model.find_producer(node.input[0])
            windows = writer is not None and writer.op_type == "ConvolutionInputGenerator_rtl"
            depth = SHALLOW if windows else _vector_depth(node)
        set_attributes(node, inFIFODepths=joins.get(node.name, [depth]), outFIFODepths=[SHALLOW])
    model = model.transform(InsertFIFO(create_shallow_fifos=True))
    for node in list(model.graph.node):
        reader = model.find_consumer(node.output[0])
        if node.op_type == "StreamingFIFO" and reader and reader.op_type == f"{CONVERTER}_rtl":
            reader.input[0] = node.input[0]
            model.graph.node.remove(node)
    _name(model, "StreamingFIFO", "_fifo")
    specialize(model)
    return model


def padding_depth(padding: Any, cycles_per_frame: int) -> int:
    """Words that arrive while the padding is busy with the border between two frames.

    Pooling and windows take words as fast as they come on average, however their neighbours stall.
    """
    top, left, bottom, right = padding.get_nodeattr("Padding")
    _, width = padding.get_padded_odim()
    words_per_pixel = int(padding.get_nodeattr("NumChannels") // padding.get_nodeattr("SIMD"))
    busy: int = ((top + bottom) * width + left + right) * words_per_pixel
    words = prod(map(int, padding.get_folded_input_shape()[:-1]))
    # One pixel more, since all words of a pixel may arrive at once.
    return ceil(busy * words / cycles_per_frame) + words_per_pixel + SHALLOW


def _vector_depth(node: NodeProto) -> int:
    """Words of a vector that may arrive while the last one is computed, beyond the unit's own room.

    A source that is as slow as the unit spreads a vector over the whole time of the last one.
    (Windows come without a pause as soon as they are taken.)
    """
    unit = getCustomOp(node)
    words, rounds = unit.vector_words(), unit.rounds()
    return SHALLOW if rounds == 1 else max(SHALLOW, words - unit.spare_words() + SHALLOW)


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
                between, info.type.tensor_type.elem_type, converter.get_nodeattr("inShape")
            )
        )
        model.set_tensor_datatype(between, converter.get_output_datatype())
        second = NodeProto()
        second.CopyFrom(node)
        second.input[0] = between
        set_attributes(second, inWidth=common)
        node.output[0] = between
        set_attributes(node, outWidth=common, outShape=converter.get_nodeattr("inShape"))
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
