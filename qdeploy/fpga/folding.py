# SPDX-License-Identifier: Apache-2.0
"""Folding: how parallel every hardware node is, and the streams between nodes of unequal width.

The solver (`qdeploy.fpga.solver`) chooses for a rate, a share of the board or the smallest latency.
FINN's SetFolding, which knows a number of cycles per frame only, is kept to compare with; what it
does not know (our pooling and arg-max, SYQ groups, a window generator without parallel windows) is
settled here.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from qdeploy.errors import UserError
from qdeploy.fpga.board import Board
from qdeploy.fpga.compressors.sliced_products import Products
from qdeploy.fpga.finn_import import AnnotateCycles, SetFolding, dataflow_performance
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.schedule.record import ScheduleRecord
from qdeploy.fpga.solver.options import (
    PARALLELISM,
    TAKES_WINDOWS,
    HeldBits,
    apply,
    held_bits,
    note_costs,
    parallel_channels,
    predicted,
    problem,
    with_held,
)
from qdeploy.fpga.solver.problem import LUTS, board_prices, price
from qdeploy.fpga.solver.record import FoldingRecord
from qdeploy.fpga.solver.search import cheapest, fastest, shortest
from qdeploy.fpga.solver.units import UnitFolding, divisors
from qdeploy.fpga.streams import insert_streams
from qdeploy.fpga.user_folding import check_folding

# As wide as FINN allows: our weights come from a memory beside the unit, not from a stream.
WEIGHT_BITS_PER_PE = 8191
# How often the choice is made at most, each time with the FIFOs that the last one needs.
ROUNDS = 4
# FIFOs that add this share to the price beyond two words each are worth another round.
DEEP = 0.01
# Effort (`Model.solve`) of the searches of all of them; each may take half of what is left.
EFFORT = 30.0

# What FINN's SetFolding does not know.
_UNKNOWN_TO_FINN = (
    "DuplicateStreams_rtl",
    "GlobalAccPool_rtl",
    "LabelSelect_rtl",
    "StreamingConcat_rtl",
    "UpsampleNearestNeighbour_rtl",
    "WeightedAdd_rtl",
)


@dataclass(frozen=True)
class FoldedModel:
    """A folded graph, ready for `generate`.

    Attributes:
        model: RTL nodes with PE, SIMD, width converters and FIFOs.
        cycles_per_frame: predicted initiation interval.
        critical_node: the node that needs that many cycles.
        record: how it was chosen.
        schedule: which node is busy when, and what FIFOs hold.
    """

    model: ModelWrapper
    cycles_per_frame: int
    critical_node: str
    record: FoldingRecord
    schedule: ScheduleRecord


def fold(
    model: ModelWrapper,
    board: Board,
    fps: float | None = None,
    folding: Mapping[str, UnitFolding] | None = None,
    *,
    fill: float = 1.0,
    latency: bool = False,
    any_form: Collection[str] = (),
    products: Mapping[str, Products] | None = None,
) -> FoldedModel:
    """Choose the parallelism and memories of every node and connect the nodes by streams.

    Args:
        model: result of `map_network`; stays as it is.
        board: gives the clock and the resources.
        fps: frames per second, reached with as little of the board as possible; what cannot get
            that fast gets as fast as it can, and the rest no faster. None: as fast as fits, then
            with as few LUTs as possible.
        folding: of matrix-vector units by layer name, instead of what would be chosen.
        fill: share of each resource of the board that may be used.
        latency: minimize the latency of a frame in the empty pipeline instead.
        any_form: layers whose scales may also have another form than in the graph.
        products: what multiplies in matrix-vector units by layer name, "lut" or "dsp".

    Raises:
        UserError: if `fps` asks for more than one frame per cycle, nothing fits, or `folding` or
            `products` name an unknown layer or illegal values (the legal ones are named).
    """
    target = _target(board, fps)
    chosen = folding or {}
    check_folding(model, chosen, products or {}, any_form)
    resources = Cost(**board.resources.model_dump())
    allowed = Cost(*(fill * amount for amount in resources))
    prices = LUTS if fps is None else board_prices(resources)
    budget, pace, bound = allowed, target, 0
    left, seconds = EFFORT, 0.0
    choices = problem(model, chosen, any_form=any_form, products=products)
    held: HeldBits = {}
    for _ in range(ROUNDS):
        priced = with_held(choices, model, held)
        if latency:
            solution = shortest(priced, budget, target, prices, left / 2)
        elif pace is None:
            solution = fastest(priced, budget, prices, left / 2)
        else:
            solution = cheapest(priced, budget, pace, prices, left / 2)
        left, seconds = left - solution.effort, seconds + solution.seconds
        bound = bound or solution.bound
        parallel = copy.deepcopy(model)
        for node, option in zip(parallel.graph.node, solution.choice, strict=True):
            apply(node, option.values)
        folded, _ = insert_streams(parallel, solution.cycles)
        total = predicted(folded)
        excess = [max(0.0, a - b) for a, b in zip(total, allowed, strict=True)]
        chosen_price = price(solution.cost, prices)
        deep = not latency and price(total, prices) > (1 + DEEP) * chosen_price
        if not any(excess) and (held or not deep):
            break
        # What FIFOs hold depends on the choice; what they take beyond the last one's is taken off.
        if held and pace is not None and solution.cycles <= pace:
            budget = Cost(*(a - b for a, b in zip(budget, excess, strict=True)))
        held, pace = held_bits(folded), solution.cycles
    folded, schedule = insert_streams(parallel, solution.cycles, smallest=True)
    folded = folded.transform(AnnotateCycles())
    note_costs(folded)
    performance = _performance(folded)
    greedy = finn_folding(model, target or solution.cycles)
    record = FoldingRecord(
        aim="latency" if latency else "cycles",
        cycles=performance["max_cycles"],
        slowest=performance["max_cycles_node_name"],
        latency=solution.latency,
        bound=bound,
        price=chosen_price,
        least_price=solution.least_price,
        seconds=seconds,
        predicted=predicted(folded),
        resources=resources,
        fill=fill,
        finn_cycles=_performance(greedy)["max_cycles"],
        finn_predicted=predicted(greedy),
    )
    return FoldedModel(
        folded, performance["max_cycles"], performance["max_cycles_node_name"], record, schedule
    )


def finn_folding(model: ModelWrapper, cycles: int) -> ModelWrapper:
    """What FINN's greedy SetFolding makes of the same graph for a number of cycles per frame."""
    folded = _greedy(model, cycles)
    reached = _performance(folded)["max_cycles"]
    if reached > cycles:
        # The slowest node sets the pace; the others need not be faster.
        folded = _greedy(model, reached)
    folded, _ = insert_streams(folded, max(cycles, reached))
    return folded.transform(AnnotateCycles())


def _target(board: Board, fps: float | None) -> int | None:
    if fps is None:
        return None
    target = int(board.clock_mhz * 1e6 / fps)
    if target < 1:
        raise UserError(
            f"{fps:g} frames/s are more than one per cycle at {board.clock_mhz:g} MHz",
            remedy=f"ask for at most {board.clock_mhz * 1e6:g} frames/s",
        )
    return target


def _greedy(model: ModelWrapper, cycles: int) -> ModelWrapper:
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
        elif node.op_type in TAKES_WINDOWS:
            _fold_windows(folded, node, cycles)
        elif node.op_type in _UNKNOWN_TO_FINN:
            _fold(operator, cycles)
    return folded.transform(AnnotateCycles())


def _fold_windows(model: ModelWrapper, node: NodeProto, cycles: int) -> None:
    """Windows come channel by channel, so the node and its windows have the same parallelism."""
    operator, window = getCustomOp(node), getCustomOp(model.find_producer(node.input[0]))
    for value in divisors(parallel_channels(operator)):
        operator.set_nodeattr("PE", value)
        window.set_nodeattr("SIMD", value)
        if max(operator.get_exp_cycles(), window.get_exp_cycles()) <= cycles:
            break


def _fold(operator: Any, cycles: int) -> None:
    for value in divisors(parallel_channels(operator)):
        operator.set_nodeattr(PARALLELISM[operator.onnx_node.op_type], value)
        if operator.get_exp_cycles() <= cycles:
            break


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
