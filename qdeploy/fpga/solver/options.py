# SPDX-License-Identifier: Apache-2.0
"""The options of a FINN graph: every legal parallelism of every node, and what it costs."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial, reduce
from math import ceil, gcd, prod
from typing import Any, cast

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.fpga.compressors.sliced_products import Products
from qdeploy.fpga.mapping import keep_structure
from qdeploy.fpga.matrix_vector.module import Unit
from qdeploy.fpga.resources import Cost, constants, cost
from qdeploy.fpga.resources.terms import Parameters
from qdeploy.fpga.scales import ScaledColumns, ScaleForm, possible_forms, with_form
from qdeploy.fpga.schedule.fifos import SHALLOW
from qdeploy.fpga.solver.problem import Link, Option, Problem, Stage, fifo_cost
from qdeploy.fpga.solver.units import UnitFolding, UnitShape, divisors, unit_options

# Bits that the FIFO in front of each input of each node holds beyond two words.
HeldBits = Mapping[tuple[str, int], int]
# Larger matrices are not tried as logic: the trees take seconds to count.
MOST_CONSTANTS = 10_000
_SHORT_DELAY = 4
# The attribute that makes a node parallel; it divides the channels of its inputs.
PARALLELISM = {
    "ConvolutionInputGenerator_rtl": "SIMD",
    "DuplicateStreams_rtl": "PE",
    "FMPadding_rtl": "SIMD",
    "GlobalAccPool_rtl": "PE",
    "LabelSelect_rtl": "PE",
    "Pool_rtl": "PE",
    "StreamingConcat_rtl": "SIMD",
    "Thresholding_rtl": "PE",
    "UpsampleNearestNeighbour_rtl": "SIMD",
    "VVAU_rtl": "PE",
    "WeightedAdd_rtl": "PE",
}
# What stands between two nodes of a problem.
_BETWEEN = ("StreamingDataWidthConverter_rtl", "StreamingFIFO_rtl")
# They take windows channel by channel, as many channels at a time as the window generator gives.
TAKES_WINDOWS = ("Pool_rtl", "VVAU_rtl")


def problem(
    model: ModelWrapper,
    folding: Mapping[str, UnitFolding],
    *,
    any_form: Collection[str] = (),
    products: Mapping[str, Products] | None = None,
) -> Problem:
    """What there is to choose in a graph of `map_network`.

    Args:
        model: the graph; stays as it is.
        folding: of matrix-vector units by layer name; nothing else is tried for them.
        any_form: layers whose scales may also have another form than in the graph.
        products: what multiplies in matrix-vector units, by layer name; chosen for the others.
    """
    nodes = list(model.graph.node)
    places = {name: place for place, node in enumerate(nodes) for name in node.output}
    links = [
        Link(places[name], place, port, tied=node.op_type in TAKES_WINDOWS)
        for place, node in enumerate(nodes)
        for port, name in enumerate(node.input)
        if name in places
    ]
    stages = [
        _unit_stage(model, node, folding, any_form, products or {})
        if node.op_type == "MVAU_rtl"
        else _stage(model, node)
        for node in nodes
    ]
    stages[-1] = with_output_fifo(stages[-1])
    return Problem(stages, links)


def with_output_fifo(stage: Stage) -> Stage:
    """The last stage of a network: the FIFO behind it is its own."""
    return replace(
        stage,
        options=tuple(
            replace(option, cost=option.cost.plus(fifo_cost(option.output_bits)))
            for option in stage.options
        ),
    )


def with_held(choices: Problem, model: ModelWrapper, held: HeldBits) -> Problem:
    """The problem of `model` with FIFOs that hold so much, whatever the parallelism."""
    stages = []
    for node, stage in zip(model.graph.node, choices.stages, strict=True):
        ports = {port: bits for (name, port), bits in held.items() if name == node.name}
        options = (
            replace(option, cost=reduce(Cost.plus, _deeper(option, ports), option.cost))
            for option in stage.options
        )
        stages.append(replace(stage, options=tuple(options)) if ports else stage)
    return replace(choices, stages=stages)


def _deeper(option: Option, ports: Mapping[int, int]) -> Iterator[Cost]:
    """What FIFOs that hold so many bits more take more."""
    for port, bits in ports.items():
        width = option.input_bits[port]
        deep, shallow = fifo_cost(width, SHALLOW + ceil(bits / width)), fifo_cost(width)
        yield Cost(*(a - b for a, b in zip(deep, shallow, strict=True)))


def held_bits(model: ModelWrapper) -> HeldBits:
    """Of a folded graph; FIFOs around a converter count for the node behind it."""
    held: dict[tuple[str, int], int] = defaultdict(int)
    for node in model.graph.node:
        if node.op_type != "StreamingFIFO_rtl":
            continue
        stream = node.output[0]
        reader = model.find_consumer(stream)
        while reader and reader.op_type in _BETWEEN:
            stream = reader.output[0]
            reader = model.find_consumer(stream)
        if reader:
            fifo = getCustomOp(node)
            bits = (fifo.get_nodeattr("depth") - SHALLOW) * fifo.get_instream_width()
            held[reader.name, list(reader.input).index(stream)] += bits
    return held


def _unit_stage(
    model: ModelWrapper,
    node: NodeProto,
    folding: Mapping[str, UnitFolding],
    any_form: Collection[str],
    products: Mapping[str, Products],
) -> Stage:
    operator = getCustomOp(node)
    name = operator.get_nodeattr("layer")
    shapes = list(_unit_shapes(model, operator, name in any_form))
    options = [
        option
        for shape in shapes
        for option in unit_options(shape, folding.get(name), products.get(name))
    ]
    return Stage(name, tuple(options), shapes[0].lead)


def _stage(model: ModelWrapper, node: NodeProto) -> Stage:
    operator = getCustomOp(copy.deepcopy(node))
    name = operator.get_nodeattr("layer") or node.name
    options = []
    for values in _parallelisms(operator):
        for key, value in values.items():
            operator.set_nodeattr(key, value)
        inputs = tuple(map(operator.get_instream_width, range(operator.input_streams())))
        spent = reduce(Cost.plus, map(fifo_cost, inputs), node_cost(model, operator))
        options.append(
            Option(
                operator.get_exp_cycles(),
                spent,
                inputs,
                operator.get_outstream_width(),
                _tail(operator),
                values,
            )
        )
    return Stage(name, tuple(options), _lead(operator))


def _parallelisms(operator: Any) -> Iterator[dict[str, int | str]]:
    """Attributes that make a node more and more parallel."""
    kind, channels = operator.onnx_node.op_type, parallel_channels(operator)
    for value in divisors(channels):
        yield {PARALLELISM[kind]: value}
    if kind == "ConvolutionInputGenerator_rtl" and not operator.get_nodeattr("depthwise"):
        yield {PARALLELISM[kind]: channels, "whole_rows": 1}


def parallel_channels(operator: Any) -> int:
    """What the parallelism of a node must divide."""
    if operator.onnx_node.op_type in TAKES_WINDOWS:
        return int(operator.get_nodeattr("Channels"))
    if operator.operator == "top_k":
        return 1
    inputs = range(operator.input_streams())
    return gcd(*(int(operator.get_normal_input_shape(i)[-1]) for i in inputs))


def node_cost(model: ModelWrapper, operator: Any) -> Cost:
    """Predicted cost of a hardware node with its present attributes."""
    if operator.operator == "matrix_vector_unit":
        return cost(operator.operator, operator.unit(model).parameters())
    spent = cost(operator.operator, operator.parameters())
    for role in operator.memory_roles:
        for width, depth in operator.memory(model, role).sizes:
            spent = spent.plus(constants(width, depth))
    return spent


def predicted(model: ModelWrapper) -> Cost:
    """Predicted cost of a folded graph with its converters and FIFOs."""
    total = Cost()
    for node in model.graph.node:
        total = total.plus(node_cost(model, getCustomOp(node)))
    return total


def note_costs(model: ModelWrapper) -> None:
    """Write the predicted cost of our operators into their attribute `predicted`, in place."""
    for node in model.graph.node:
        if node.domain.endswith(".rtl"):
            operator = getCustomOp(node)
            operator.set_nodeattr("predicted", [float(a) for a in node_cost(model, operator)])


def apply(node: NodeProto, values: Mapping[str, int | str]) -> None:
    """Give a node of the graph the attributes of an option."""
    operator = getCustomOp(node)
    form = values.get("scale_form")
    if form is not None:
        keep_structure(node, with_form(operator.columns, cast(ScaleForm, form)))
    for name, value in values.items():
        operator.set_nodeattr(name, value)


def _unit_shapes(model: ModelWrapper, operator: Any, any_form: bool) -> Iterator[UnitShape]:
    """The unit as it is and, if wanted and it has scales, with every other form of them."""
    unit = operator.unit(model)
    for columns in unit_forms(operator, any_form):
        matrix = operator.matrix_of(columns)
        planes, rows, width = matrix.codes.shape
        groups = 1 if matrix.multipliers is None else matrix.multipliers.shape[2]
        plain = replace(unit, matrix=matrix, pe=1, lanes=1, weights="auto", products="lut")
        constant = None
        if planes == 1 and not matrix.scaled and matrix.codes.size <= MOST_CONSTANTS:
            whole = replace(plain, simd=width, pe=rows, lanes=rows, weights="constant")
            constant = whole.parameters
        yield UnitShape(
            rows,
            matrix.group_columns,
            planes * groups,
            planes,
            prod(map(int, operator.get_nodeattr("numInputVectors"))),
            partial(_parameters, plain),
            constant,
            {} if columns is operator.columns else {"scale_form": columns.form},
        )


def unit_forms(operator: Any, any_form: bool) -> list[ScaledColumns]:
    """The weights of a unit as they are and, if wanted, with every other form of their scales."""
    present = operator.columns
    if not any_form or present.multipliers is None:
        return [present]
    possible = possible_forms(present.codes, present.multipliers)
    return [present, *(with_form(present, form) for form in possible if form != present.form)]


def _parameters(unit: Unit, simd: int) -> Parameters:
    return replace(unit, simd=simd).parameters()


def _lead(operator: Any) -> int:
    """Share of the input, in 1/1024, before the first word: a window, or an output pixel's part."""
    if operator.onnx_node.op_type == "ConvolutionInputGenerator_rtl":
        height, width = operator.get_nodeattr("IFMDim")
        kernel, dilation = (operator.get_nodeattr(n) for n in ("ConvKernelDim", "Dilation"))
        rows, columns = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
        span, pixels = int(rows * width + columns + 1), int(height * width)
        return ceil(1024 * span / pixels)
    return ceil(1024 / prod(map(int, operator.get_normal_output_shape()[:-1])))


def _tail(operator: Any) -> int:
    """Cycles from the last word in to the last word out."""
    kind = operator.onnx_node.op_type
    if kind == "FMPadding_rtl":
        _, _, bottom, right = operator.get_nodeattr("Padding")
        fold = int(operator.get_nodeattr("NumChannels") // operator.get_nodeattr("SIMD"))
        return int((bottom * operator.get_padded_odim()[1] + right) * fold)
    if kind == "ConvolutionInputGenerator_rtl":
        fold = operator.get_nodeattr("IFMChannels") // operator.get_nodeattr("SIMD")
        return int(prod(operator.get_nodeattr("ConvKernelDim")) * fold)
    return _SHORT_DELAY
