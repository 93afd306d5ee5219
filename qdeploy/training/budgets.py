# SPDX-License-Identifier: Apache-2.0
"""What a layer costs at each weight width: bits, LUTs or cycles of a board, time of this CPU.

Hardware and CPU costs are those of the compiler itself: the network is quantized to every width in
turn and compiled as far as needed. A layer's cost at one width does not depend on the widths of the
others, but for the sharing of a board.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork
from qdeploy.quantizers.bits import layer_bits, quantized_layers
from qdeploy.quantizers.config import FractionalBitsConfig
from qdeploy.quantizers.fractional_bits.quantizer import FractionalBitsQuantizer
from qdeploy.quantizers.fractional_bits.solvers import LEAST_BITS, MOST_BITS

WIDTHS = range(LEAST_BITS, MOST_BITS + 1)


def fractional_layers(network: nn.Module) -> dict[str, FractionalBitsQuantizer]:
    """Quantizers with a width that is learned, by layer."""
    return {
        name: quantizer
        for name, _, quantizer in quantized_layers(network)
        if isinstance(quantizer, FractionalBitsQuantizer)
    }


def layer_costs(
    network: nn.Module, config: FractionalBitsConfig, example: Tensor
) -> tuple[Tensor, float]:
    """Costs [L, widths] of the layers with a learned width, and what may be spent on them.

    Both are in average bits per weight, LUTs, cycles per frame or microseconds, by `config.budget`.
    What layers of other quantizers and the rest of the network cost is taken off the budget.

    Args:
        network: a twin.
        config: its quantization.
        example: one input [1, ...].

    Raises:
        UserError: if the budget is less than the network takes with the least widths, or what a
            layer costs cannot be told.
    """
    layers = fractional_layers(network)
    if config.budget == "bits":
        sizes = layer_bits(network)
        total = sum(count for count, _ in sizes.values())
        share = torch.tensor([sizes[name][0] / total for name in layers])
        costs = share[:, None] * torch.tensor([float(width) for width in WIDTHS])
        rest = sum(bits / total for name, (_, bits) in sizes.items() if name not in layers)
    else:
        measure = _measure(config)
        found = [measure(lowered) for lowered in _at_every_width(network, example)]
        if unknown := sorted(name for name in layers if any(name not in cost for cost in found)):
            raise UserError(
                f"no {config.budget} can be told for this layer's weights alone",
                layer=unknown[0],
                remedy='choose quantization.budget = "bits"',
            )
        costs = torch.tensor([[cost[name] for cost in found] for name in layers])
        rest = max(sum(cost.values()) - sum(cost[name] for name in layers) for cost in found)
        costs = costs.cummax(dim=1).values  # more bits are never chosen because they cost less
    least = float(costs[:, 0].sum()) + rest
    if config.amount < least:
        raise UserError(
            f"a budget of {config.amount:g} {config.budget}; with weights of {LEAST_BITS} bits the "
            f"network takes {least:.4g}",
            remedy="raise quantization.amount",
        )
    return costs, config.amount - rest


def network_cost(network: nn.Module, config: FractionalBitsConfig, example: Tensor) -> float:
    """What the compiled network takes with the nearest whole widths: LUTs, cycles, microseconds."""
    return sum(_measure(config)(_lowered(network, example)).values())


def _at_every_width(network: nn.Module, example: Tensor) -> Iterator[IntegerNetwork]:
    layers = fractional_layers(network)
    before = [quantizer.bits.detach().clone() for quantizer in layers.values()]
    try:
        for width in WIDTHS:
            for quantizer in layers.values():
                quantizer.bits.data.fill_(width)
            yield _lowered(network, example)
    finally:
        for quantizer, bits in zip(layers.values(), before, strict=True):
            quantizer.bits.data.copy_(bits)


def _lowered(network: nn.Module, example: Tensor) -> IntegerNetwork:
    from qdeploy.exporter import export_qonnx
    from qdeploy.lowering import lower

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export_qonnx(network, example, path)
        return lower(path)


def _measure(config: FractionalBitsConfig) -> Callable[[IntegerNetwork], dict[str, float]]:
    return _cpu_times() if config.budget == "cpu-time" else _board_costs(config)


def _board_costs(config: FractionalBitsConfig) -> Callable[[IntegerNetwork], dict[str, float]]:
    """LUTs of each layer at the wanted rate, or its share of the initiation interval.

    Block RAMs and DSP slices count as the LUTs of the same share of the board. A layer takes about
    as much of a board times cycles however it is folded; so on a full board the layers share the
    initiation interval as they share the board.
    """

    def measure(network: IntegerNetwork) -> dict[str, float]:
        from qonnx.custom_op.registry import getCustomOp

        from qdeploy.fpga.board import load_board
        from qdeploy.fpga.folding import fold
        from qdeploy.fpga.mapping import map_network

        board = load_board(config.board)
        mapped, luts = map_network(network), board.resources.lut
        is_rate = config.budget == "luts"
        if is_rate:
            folded = fold(mapped, board, config.fps)
        else:
            folded = fold(mapped, board, fill=config.fill)
        costs: dict[str, float] = {}
        for node in folded.model.graph.node:
            operator = getCustomOp(node)
            layer, cost = operator.get_nodeattr("layer"), operator.predicted()
            shares = cost.bram36 / board.resources.bram36 + cost.dsp / board.resources.dsp
            costs[layer] = costs.get(layer, 0.0) + cost.lut + luts * shares
        if is_rate:
            return costs
        cycles = folded.cycles_per_frame / sum(costs.values())
        return {layer: cost * cycles for layer, cost in costs.items()}

    return measure


def _cpu_times() -> Callable[[IntegerNetwork], dict[str, float]]:
    """Microseconds of each layer on one thread of this CPU."""
    from qdeploy.cpu.kernels.targets import host_targets
    from qdeploy.cpu.measurement.roofline import roofline
    from qdeploy.cpu.measurement.steps import step_times
    from qdeploy.cpu.parts import split
    from qdeploy.cpu.program.wanted import NoKernel

    target = host_targets()[0]
    roof = roofline(target)

    def measure(network: IntegerNetwork) -> dict[str, float]:
        costs: dict[str, float] = {}
        for part in split(network):
            try:
                times = step_times(part, target, roof)
            except NoKernel as missing:
                raise UserError(
                    f"there is no kernel to time: {missing.reason}",
                    layer=missing.node,
                    remedy='choose another quantization.budget, for instance "bits"',
                ) from missing
            for step in times:
                costs[step.layer] = costs.get(step.layer, 0.0) + step.microseconds
        return costs

    return measure
