# SPDX-License-Identifier: Apache-2.0
"""Layers that the user wants made by FINN with Vitis HLS; only FINN can build the result."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga.graph import accumulator_type
from qdeploy.fpga.mapping import HARDWARE, node_attribute, set_attributes, specialize
from qdeploy.integer import ValueRange

# What FINN has in HLS with the meaning that our operator has.
_COMPUTING = ("MVAU", "VVAU", "Thresholding", "Pool", "LabelSelect")


def use_hls(model: ModelWrapper, layers: Sequence[str]) -> tuple[ModelWrapper, tuple[str, ...]]:
    """A copy of a folded model in which FINN's HLS operators compute `layers`.

    Windows, padding and streams stay Verilog; weights become constants of the C++ source.

    Returns:
        The copy and the names of the nodes that changed.

    Raises:
        UserError: if FINN has no HLS operator for one of the layers.
    """
    model = copy.deepcopy(model)
    computing = [node for node in model.graph.node if _kind(node) in _COMPUTING]
    found = {node_attribute(node, "layer"): node for node in computing}
    for layer in layers:
        if layer not in found:
            raise UserError(
                "FINN has no HLS operator for it",
                layer=layer,
                remedy=f"take it off the layers for HLS, or use some of: {', '.join(found)}",
            )
    nodes = [node for node in computing if node_attribute(node, "layer") in layers]
    for node in nodes:
        words = getCustomOp(node).get_folded_output_shape()[-1]
        _replace(model, node)
        if getCustomOp(node).get_folded_output_shape()[-1] != words:
            _convert_output(model, node, words)
    specialize(model)
    return model, tuple(node.name for node in nodes)


def executable(model: ModelWrapper) -> ModelWrapper:
    """A copy that FINN executes in Python: HLS operators as the generic ones they come from."""
    model = copy.deepcopy(model)
    for node in model.graph.node:
        if node.domain == f"{HARDWARE}.hls":
            node.op_type, node.domain = node.op_type.removesuffix("_hls"), HARDWARE
    return model


def refuse_hls(model: ModelWrapper) -> None:
    """Refuse a model with HLS operators where Verilog is needed.

    Raises:
        UserError: at the first of them.
    """
    for node in model.graph.node:
        if node.domain == f"{HARDWARE}.hls":
            raise UserError(
                f"node {node.name} is FINN's {node.op_type}, which only Vitis HLS makes Verilog of",
                layer=node_attribute(node, "layer"),
                remedy="build the model with 'finn build', or generate from folded.onnx",
            )


def _kind(node: NodeProto) -> str:
    return str(node.op_type).removesuffix("_rtl")


def _replace(model: ModelWrapper, node: NodeProto) -> None:
    node.op_type, node.domain = f"{_kind(node)}_hls", f"{HARDWARE}.hls"
    operator = getCustomOp(node)
    ours = {a.name for a in node.attribute} - operator.get_nodeattr_types().keys()
    set_attributes(node, **{name: [] for name in ours - {"layer"}})
    if node.op_type == "MVAU_hls" and len(node.input) > 2:
        # FINN compares in the type of the sums; a threshold may be one beyond them ("never").
        thresholds, sums = model.get_initializer(node.input[2]), operator.get_accumulator_datatype()
        low, high = int(thresholds.min()), int(thresholds.max())
        both = ValueRange(min(low, int(sums.min())), max(high, int(sums.max())))
        set_attributes(node, accDataType=accumulator_type(both))


def _convert_output(model: ModelWrapper, node: NodeProto, words: int) -> None:
    """Insert a converter behind `node` to words of so many elements, as its reader has them."""
    operator = getCustomOp(node)
    shape, kind = operator.get_normal_output_shape(), operator.get_output_datatype()
    wide = model.make_new_valueinfo_name()
    converter = helper.make_node(
        "StreamingDataWidthConverter",
        [wide],
        [node.output[0]],
        name=f"{node.name}_lanes",
        domain=HARDWARE,
        backend="fpgadataflow",
        inShape=shape,
        outShape=shape,
        inWidth=operator.get_outstream_width(),
        outWidth=words * kind.bitwidth(),
        dataType=kind.name,
        layer=node_attribute(node, "layer"),
    )
    node.output[0] = wide
    model.set_tensor_shape(wide, shape)
    model.set_tensor_datatype(wide, kind)
    model.graph.node.insert(list(model.graph.node).index(node) + 1, converter)
