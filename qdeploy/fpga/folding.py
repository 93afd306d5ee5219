# SPDX-License-Identifier: Apache-2.0
"""Folding: how parallel every hardware node is, and the streams between nodes of unequal width.

FINN's SetFolding chooses for a number of cycles per frame; what it does not know (our pooling and
arg-max, SYQ groups, a window generator without parallel windows) is settled here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga.board import Board
from qdeploy.fpga.finn_import import AnnotateCycles, SetFolding, dataflow_performance
from qdeploy.fpga.streams import insert_streams

# As wide as FINN allows: our weights come from a memory beside the unit, not from a stream.
WEIGHT_BITS_PER_PE = 8191

# What divides the channels of an operator that FINN's SetFolding does not know.
_CHANNEL_PARALLELISM = {
    "DuplicateStreams_rtl": "PE",
    "GlobalAccPool_rtl": "PE",
    "StreamingConcat_rtl": "SIMD",
    "UpsampleNearestNeighbour_rtl": "SIMD",
    "WeightedAdd_rtl": "PE",
}


@dataclass(frozen=True)
class FoldedModel:
    """A folded graph, ready for `generate`.

    Attributes:
        model: RTL nodes with PE, SIMD, width converters and FIFOs.
        cycles_per_frame: predicted initiation interval.
        critical_node: the node that needs that many cycles.
    """

    model: ModelWrapper
    cycles_per_frame: int
    critical_node: str


def fold(
    model: ModelWrapper,
    board: Board,
    fps: float,
    folding: Mapping[str, tuple[int, int]] | None = None,
) -> FoldedModel:
    """Choose PE and SIMD of every node and connect the nodes by streams.

    Args:
        model: result of `map_network`; stays as it is.
        board: gives the clock.
        fps: frames per second to aim for; what cannot get that fast gets as fast as it can, and the
            rest no faster.
        folding: (PE, SIMD) of matrix-vector units by layer name, instead of what fps asks for.

    Raises:
        UserError: if `fps` asks for more than one frame per cycle, or `folding` names an unknown
            layer or illegal values (the nearest legal ones are named).
    """
    target = int(board.clock_mhz * 1e6 / fps)
    if target < 1:
        raise UserError(
            f"{fps:g} frames/s are more than one per cycle at {board.clock_mhz:g} MHz",
            remedy=f"ask for at most {board.clock_mhz * 1e6:g} frames/s",
        )
    chosen = folding or {}
    check_folding(model, chosen)
    folded = _fold_for(model, target, chosen)
    cycles = _performance(folded)["max_cycles"]
    if cycles > target:
        # The slowest node sets the pace; the others need not be faster.
        folded = _fold_for(model, cycles, chosen)
    folded = insert_streams(folded, cycles).transform(AnnotateCycles())
    performance = _performance(folded)
    return FoldedModel(folded, performance["max_cycles"], performance["max_cycles_node_name"])


def legal_values(node: NodeProto) -> dict[str, list[int]]:
    """Legal PE and SIMD of a matrix-vector unit, ascending."""
    operator = getCustomOp(node)
    return {
        "PE": divisors(operator.get_nodeattr("MH")),
        "SIMD": divisors(operator.group_columns()),
    }


def check_folding(model: ModelWrapper, folding: Mapping[str, tuple[int, int]]) -> None:
    """Refuse a folding that the matrix-vector units of `model` cannot have.

    Raises:
        UserError: see `fold`.
    """
    units = _units(model)
    for layer, values in folding.items():
        if layer not in units:
            raise UserError(
                f"the folding names '{layer}', which has no matrix-vector unit",
                remedy=f"use the layers {', '.join(units)}",
            )
        legal = legal_values(units[layer])
        for (name, allowed), value in zip(legal.items(), values, strict=True):
            if value not in allowed:
                lower = [v for v in allowed if v < value][-1:]
                upper = [v for v in allowed if v > value][:1]
                what = "outputs" if name == "PE" else "inputs that share a multiplier"
                raise UserError(
                    f"{name} = {value} does not divide its {allowed[-1]} {what}",
                    layer=layer,
                    remedy=f"the nearest legal values are {' and '.join(map(str, lower + upper))}",
                )


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def _fold_for(
    model: ModelWrapper, cycles: int, chosen: Mapping[str, tuple[int, int]]
) -> ModelWrapper:
    folded = _with_names_kept(
        copy.deepcopy(model),
        SetFolding(cycles, mvau_wwidth_max=WEIGHT_BITS_PER_PE, two_pass_relaxation=False),
    )
    for node in folded.graph.node:
        operator = getCustomOp(node)
        if node.op_type == "MVAU_rtl":
            operator.set_nodeattr("SIMD", operator.usable_simd())
        elif node.op_type == "ConvolutionInputGenerator_rtl":
            operator.set_nodeattr("parallel_window", 0)
        elif node.op_type in ("Pool_rtl", "VVAU_rtl"):
            _fold_windows(folded, node, cycles)
        elif node.op_type in _CHANNEL_PARALLELISM:
            attribute = _CHANNEL_PARALLELISM[node.op_type]
            _raise_until(operator, attribute, _common_channels(operator), cycles)
        elif node.op_type == "LabelSelect_rtl":
            _raise_until(operator, "PE", operator.get_nodeattr("Labels"), cycles)
    for layer, (pe, simd) in chosen.items():
        operator = getCustomOp(_units(folded)[layer])
        operator.set_nodeattr("PE", pe)
        operator.set_nodeattr("SIMD", simd)
    return folded.transform(AnnotateCycles())


def _fold_windows(model: ModelWrapper, node: NodeProto, cycles: int) -> None:
    """Windows come channel by channel, so the node and its windows have the same parallelism."""
    operator, window = getCustomOp(node), getCustomOp(model.find_producer(node.input[0]))
    for value in divisors(operator.get_nodeattr("Channels")):
        operator.set_nodeattr("PE", value)
        window.set_nodeattr("SIMD", value)
        if max(operator.get_exp_cycles(), window.get_exp_cycles()) <= cycles:
            break


def _common_channels(operator: Any) -> int:
    """What the parallelism of the node must divide."""
    inputs = range(operator.input_streams())
    return gcd(*(int(operator.get_normal_input_shape(i)[-1]) for i in inputs))


def _raise_until(operator: Any, attribute: str, largest: int, cycles: int) -> None:
    for value in divisors(largest):
        operator.set_nodeattr(attribute, value)
        if operator.get_exp_cycles() <= cycles:
            break


def _units(model: ModelWrapper) -> dict[str, NodeProto]:
    """Matrix-vector units by layer."""
    nodes = [node for node in model.graph.node if node.op_type == "MVAU_rtl"]
    return {getCustomOp(node).get_nodeattr("layer"): node for node in nodes}


def _with_names_kept(model: ModelWrapper, transformation: Any) -> ModelWrapper:
    """FINN renames nodes after their type; the graph stays in the same order."""
    names = [node.name for node in model.graph.node]
    model = model.transform(transformation)
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    return model


def _performance(model: ModelWrapper) -> dict[str, Any]:
    performance: dict[str, Any] = model.analysis(dataflow_performance)
    return performance
