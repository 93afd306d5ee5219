# SPDX-License-Identifier: Apache-2.0
"""How deep the FIFOs in front of a join are: branches that fork and meet again differ in delay.

The delay of a node is how long after a part of a frame arrives the result of that part leaves, when
every stream spreads a frame over the cycles of the slowest node. The FIFO of a faster branch holds
what arrives until the slowest branch delivers, and a row more, as words come in bursts.
"""

from __future__ import annotations

from math import ceil, prod

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

# Registers of an operator and its FIFO.
PIPELINE_CYCLES = 12


def join_depths(model: ModelWrapper, cycles_per_frame: int, least: int) -> dict[str, list[int]]:
    """Words of the FIFO in front of each input of the nodes that join streams, by node name.

    Args:
        model: folded RTL nodes in topological order.
        cycles_per_frame: of the slowest node.
        least: smallest depth.
    """
    depths = {}
    nodes = {node.name: node for node in model.graph.node}
    for name, waits in lags(model, cycles_per_frame).items():
        operator = getCustomOp(nodes[name])
        depths[name] = [
            join_depth(operator.get_folded_input_shape(i), wait, cycles_per_frame) + least
            for i, wait in enumerate(waits)
        ]
    return depths


def lags(model: ModelWrapper, cycles_per_frame: int) -> dict[str, list[float]]:
    """Cycles that each input of a node that joins streams is ahead of its latest one, by name."""
    ready: dict[str, float] = {}
    found = {}
    for node in model.graph.node:
        operator = getCustomOp(node)
        inputs = [ready.get(name, 0.0) for name in node.input[: operator.input_streams()]]
        if len(inputs) > 1:
            found[node.name] = [max(inputs) - time for time in inputs]
        delay = _delay(node) * cycles_per_frame + PIPELINE_CYCLES
        for name in node.output:
            ready[name] = max(inputs) + delay
    return found


def join_depth(shape: tuple[int, ...], cycles: float, cycles_per_frame: int) -> int:
    """Words of a folded input shape that arrive in so many cycles, and a row."""
    words = prod(map(int, shape[:-1]))
    row = words // int(shape[1]) if len(shape) > 3 else 1
    return ceil(cycles / cycles_per_frame * words) + row if cycles else 0


def _delay(node: NodeProto) -> float:
    """Part of a frame; see the module."""
    operator = getCustomOp(node)
    if node.op_type == "ConvolutionInputGenerator_rtl":
        height, width = operator.get_nodeattr("IFMDim")
        rows, columns = (
            dilation * (kernel - 1)
            for dilation, kernel in zip(
                operator.get_nodeattr("Dilation"),
                operator.get_nodeattr("ConvKernelDim"),
                strict=True,
            )
        )
        return float((rows * width + columns + 1) / (height * width))
    if node.op_type == "GlobalAccPool_rtl":
        return 1.0
    if node.op_type in ("MVAU_rtl", "VVAU_rtl", "Pool_rtl"):
        # One vector is collected while another one is computed.
        return 2 / prod(map(int, operator.get_normal_output_shape()[:-1]))
    if node.op_type == "UpsampleNearestNeighbour_rtl":
        return 1 / int(operator.get_nodeattr("HI"))
    return 0.0
