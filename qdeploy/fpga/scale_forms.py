# SPDX-License-Identifier: Apache-2.0
"""What every form of the scales of a matrix-vector unit takes at the folding that it has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.fpga.compressors.sliced_products import Products, legal_products
from qdeploy.fpga.design import ScaleForm
from qdeploy.fpga.images import as_images
from qdeploy.fpga.mapping import keep_structure, layer_columns
from qdeploy.fpga.scales import ScaledColumns, possible_forms
from qdeploy.fpga.solver.options import apply, node_cost
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import IntegerNetwork


def scale_forms(model: ModelWrapper, network: IntegerNetwork) -> dict[str, tuple[ScaleForm, ...]]:
    """The possible forms of every unit with scales, by name of the node.

    PE and the kind of weight memory stay, SIMD too where the form allows it.

    Args:
        model: a folded graph; stays as it is.
        network: the network it was made from.
    """
    units = [
        node
        for node in model.graph.node
        if node.op_type == "MVAU_rtl" and getCustomOp(node).get_nodeattr("scale_form") != "none"
    ]
    if not units:
        return {}
    columns = layer_columns(unit_steps(as_images(network)))
    return {
        node.name: tuple(_forms(model, node, columns[getCustomOp(node).get_nodeattr("layer")]))
        for node in units
    }


def _forms(model: ModelWrapper, present: NodeProto, columns: ScaledColumns) -> Iterator[ScaleForm]:
    built = getCustomOp(present)
    taken = (built.get_nodeattr("scale_form"), built.get_nodeattr("shared_multipliers"))
    scaled = copy.deepcopy(present)
    keep_structure(scaled, columns)
    possible: tuple[str, ...] = (columns.form,)
    if columns.multipliers is not None:
        possible = possible_forms(columns.codes, columns.multipliers)
    both = [(form, shared) for form in possible for shared in ((0, 1) if form == "post" else (0,))]
    for form, shared in both:
        node = copy.deepcopy(scaled)
        values: dict[str, int | str] = {"shared_multipliers": shared}
        apply(node, values if form == columns.form else {**values, "scale_form": form})
        operator = getCustomOp(node)
        operator.set_nodeattr("SIMD", operator.usable_simd())
        if form != "recode" and operator.get_nodeattr("weight_memory") == "constant":
            operator.set_nodeattr("weight_memory", "auto")
        if form != taken[0]:
            operator.set_nodeattr("products", _fewest_luts(operator, model))
        unit = operator.unit(model)
        multipliers = {"post": unit.scale_lanes, "pre": unit.simd, "recode": 0}[form]
        if shared and multipliers == built.get_nodeattr("PE") and taken != (form, shared):
            continue  # nothing to share
        yield ScaleForm(
            form=form,
            multipliers=multipliers,
            chosen=taken == (form, shared),
            simd=operator.get_nodeattr("SIMD"),
            cycles=operator.get_exp_cycles(),
            predicted=node_cost(model, operator),
        )


def _fewest_luts(operator: Any, model: ModelWrapper) -> Products:
    """What multiplies where DSP slices are not scarce."""
    operator.set_nodeattr("products", "lut")
    if operator.get_nodeattr("weight_memory") == "constant":
        return "lut"
    return legal_products(operator.unit(model).arithmetic().shape)[-1]
