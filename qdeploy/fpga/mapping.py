# SPDX-License-Identifier: Apache-2.0
"""The integer network as a FINN graph of hardware operators, converted by FINN itself.

Hardware nodes are named after the layer they belong to: "conv1_padding", "conv1_window", "conv1",
"pool_window", "pool". The layer's own name is in their attribute `layer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from onnx import NodeProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_datatypes import InferDataTypes

from qdeploy.errors import UserError
from qdeploy.fpga.finn_import import (
    InferLabelSelectLayer,
    InferQuantizedMatrixVectorActivation,
    InferThresholdingLayer,
    rtl_operators,
)
from qdeploy.fpga.graph import (
    accumulator_type,
    flattened_order,
    is_depthwise,
    streamlined_graph,
)
from qdeploy.fpga.graph_builder import verilog_name
from qdeploy.fpga.groups import one_group
from qdeploy.fpga.images import as_images
from qdeploy.fpga.mappable import obstacles
from qdeploy.fpga.operators import OPERATORS
from qdeploy.fpga.scales import ScaledColumns, ScaleForm, scaled_columns
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import Convolution, Flatten, IntegerNetwork, Integers, Linear

HARDWARE = "finn.custom_op.fpgadataflow"
# What FINN puts in front of the name of the node it converts.
_FINN_PREFIXES = ("MVAU_", "Thresholding_", "LabelSelect_")


def map_network(
    network: IntegerNetwork,
    *,
    scale_form: ScaleForm | None = None,
    layer_forms: Mapping[str, ScaleForm] = MappingProxyType({}),
) -> ModelWrapper:
    """Map every layer to hardware operators that have RTL of ours; no folding yet (PE = SIMD = 1).

    Args:
        network: what to map.
        scale_form: how scales inside a sum become hardware; by default the first form of
            `qdeploy.fpga.scales` that is possible.
        layer_forms: the same by layer name, instead of `scale_form`.

    Raises:
        UserError: if a layer has no hardware, or its scales cannot have the form, naming it and the
            remedy.
        ToolError: if finn-plus is missing.
    """
    for error in obstacles(network):
        raise error
    network = unit_steps(as_images(network))
    columns = layer_columns(network, scale_form, layer_forms)
    model = streamlined_graph(network, columns)
    for conversion in (
        InferQuantizedMatrixVectorActivation,
        InferThresholdingLayer,
        InferLabelSelectLayer,
    ):
        model = model.transform(conversion())
    _remove_flattening(model)
    _name(model)
    for layer in network.nodes:
        if isinstance(layer, (Convolution, Linear)) and not is_depthwise(layer):
            sums = accumulator_type(network.tensors[layer.output].range)
            for node in model.graph.node:
                if node.op_type == "MVAU" and node_attribute(node, "layer") == layer.name:
                    set_attributes(node, accDataType=sums)
                    if len(node.input) == 2:
                        set_attributes(node, outputDataType=sums)
                    keep_structure(node, columns[layer.name])
                    set_attributes(node, mem_mode="internal_embedded", resType="lut")
    # FINN's conversions forgot the exact types of accumulators; they follow from the attributes.
    model = model.transform(InferDataTypes())
    specialize(model)
    return model


def specialize(model: ModelWrapper) -> None:
    """Turn generic hardware nodes into the RTL variants of `qdeploy.fpga.operators`, in place.

    Raises:
        UserError: if one has no such variant.
    """
    for node in model.graph.node:
        if node.domain.startswith(f"{HARDWARE}."):
            continue
        if node.domain != HARDWARE or f"{node.op_type}_rtl" not in OPERATORS:
            raise UserError(
                f"no RTL operator does '{node.op_type}'",
                layer=node_attribute(node, "layer") or node.name,
                remedy="replace the layer by one that docs/fpga.md lists",
            )
        assert rtl_operators[f"{node.op_type}_rtl"] is OPERATORS[f"{node.op_type}_rtl"]
        node.op_type += "_rtl"
        node.domain += ".rtl"


def set_attributes(node: NodeProto, **values: object) -> None:
    """Set attributes of a node, whether its class declares them yet or not."""
    for name, value in values.items():
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        if value != []:
            node.attribute.append(helper.make_attribute(name, value))


def node_attribute(node: NodeProto, name: str) -> str:
    """A text attribute of a node, "" where it is missing."""
    return next((a.s.decode() for a in node.attribute if a.name == name), "")


def layer_columns(
    network: IntegerNetwork,
    scale_form: ScaleForm | None = None,
    layer_forms: Mapping[str, ScaleForm] = MappingProxyType({}),
) -> dict[str, ScaledColumns]:
    """Weights in hardware order of every layer of a network that `unit_steps` returned."""
    columns = {
        node.name: _scaled_columns(network, node, layer_forms.get(node.name, scale_form))
        for node in network.nodes
        if isinstance(node, (Convolution, Linear))
    }
    for layer, form in layer_forms.items():
        if layer in columns and columns[layer].form != form:
            raise UserError(
                f"it has no scales inside its sums that could have the form '{form}'",
                layer=layer,
                remedy="leave out its scale_form",
            )
    return columns


def _scaled_columns(
    network: IntegerNetwork, node: Convolution | Linear, scale_form: ScaleForm | None
) -> ScaledColumns:
    if is_depthwise(node):
        return scaled_columns(node, "recode")
    order = _flattened(network, node)
    return scaled_columns(one_group(node), scale_form, order)


def _flattened(network: IntegerNetwork, node: Convolution | Linear) -> Integers | None:
    """The order of the columns if `node` reads a flattened image."""
    producer = next((n for n in network.nodes if n.output == node.input), None)
    if not isinstance(producer, Flatten):
        return None
    shape = network.tensors[producer.input].shape
    return flattened_order(shape) if len(shape) == 3 else None


def keep_structure(node: NodeProto, columns: ScaledColumns) -> None:
    """What the matrix-vector unit must know beyond the expanded weights."""
    set_attributes(
        node,
        scale_form=columns.form,
        codes=numpy_helper.from_array(columns.codes.astype(np.int32)),
    )
    multipliers = columns.multipliers
    kept = [] if multipliers is None else numpy_helper.from_array(multipliers)
    set_attributes(node, multipliers=kept)


def _remove_flattening(model: ModelWrapper) -> None:
    """Streams carry no shape, and the weights have been reordered: drop the Flatten nodes."""
    for node in [n for n in model.graph.node if n.op_type == "Flatten"]:
        for reader in model.find_consumers(node.output[0]):
            reader.input[0] = node.input[0]
        for info in [v for v in model.graph.value_info if v.name == node.output[0]]:
            model.graph.value_info.remove(info)
        model.graph.node.remove(node)


def _name(model: ModelWrapper) -> None:
    """Names and attribute `layer` of the nodes that FINN converted; all names are unique."""
    taken: set[str] = set()
    for node in model.graph.node:
        name = node.name
        if not node_attribute(node, "layer"):
            prefix = next((p for p in _FINN_PREFIXES if name.startswith(p)), "")
            layer = name.removeprefix(prefix)
            set_attributes(node, layer=layer)
            name = verilog_name(layer)
        node.name = unique_name(name, taken)


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, with a number behind if it is taken; adds it to `taken`."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate
