# SPDX-License-Identifier: Apache-2.0
"""The explanation as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from qdeploy.explanation.contents import (
    Explanation,
    IntegerOperator,
    LayerExplanation,
    NodeExplanation,
    Problem,
    Thresholds,
    WeightPlane,
)
from qdeploy.explanation.wording import count, dimensions, interval, real

MARKS = {"lowered": ("✓", "green"), "failed": ("✗", "red"), "not reached": ("·", "yellow")}
OPERATOR_WIDTH = len("✓ BatchNormalization")
BITS_WIDTH = len("real → 16")
BAR_WIDTH = 32


def overview(explanation: Explanation) -> RenderableType:
    """All layers, then the verdict."""
    blocks: list[RenderableType] = []
    for layer in explanation.layers:
        blocks += _layer(layer, explanation)
    return Group(*blocks, Text(), *_verdict(explanation))


def details(explanation: Explanation) -> RenderableType:
    """All layers, each with its weights, scales and thresholds."""
    blocks: list[RenderableType] = []
    for layer in explanation.layers:
        blocks += _layer(layer, explanation)
        blocks += [Padding(_operator(operator), (1, 0, 1, 2)) for operator in layer.operators]
    return Group(*blocks)


def _layer(layer: LayerExplanation, explanation: Explanation) -> Iterator[RenderableType]:
    title = Text(layer.name, "bold")
    if explanation.fpga and explanation.cpu is None and layer.operators:
        title.append("  FPGA ✓", "not bold green")
    yield title
    table = _grid()
    hidden = [node for node in layer.nodes if node.constant and node.bits_out is None]
    if hidden:
        names = ", ".join(dict.fromkeys(node.operator for node in hidden))
        table.add_row("", Text(f"{names}: computed at compile time", "dim"), "")
    for node in layer.nodes:
        if node not in hidden:
            _add_node(table, node)
    for operator in layer.operators:
        if operator.cpu is not None:
            table.add_row("  CPU", Text(operator.cpu, "cyan"), "")
        elif operator.fpga is not None and explanation.cpu is None:
            name = Text("✗ ", "yellow").append("FPGA", "default")
            table.add_row(name, _problem(operator.fpga, "yellow"), "")
    yield Padding(table, (0, 0, 0, 2))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=OPERATOR_WIDTH, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_column(width=BITS_WIDTH, justify="right", no_wrap=True)
    return table


def _add_node(table: Table, node: NodeExplanation) -> None:
    mark, style = MARKS[node.state]
    name = Text(f"{mark} ", style).append(node.operator, "default")
    if node.problem is not None:
        text = _problem(node.problem, "red")
    else:
        text = Text(node.became, "dim" if node.state == "not reached" else "")
    table.add_row(name, text, Text(_bits(node), "cyan"))


def _bits(node: NodeExplanation) -> str:
    """Width in and out, where the node computes something."""
    if node.bits_out is None or node.state != "lowered":
        return ""
    if node.bits_in is None:
        return f"real → {node.bits_out}"
    return f"{node.bits_in} → {node.bits_out}" if node.operators else ""


def _problem(problem: Problem, style: str) -> Text:
    text = Text(problem.reason, style)
    return text.append(f"\nWhat to do: {problem.remedy}", "default") if problem.remedy else text


def _verdict(explanation: Explanation) -> Iterator[Text]:
    nodes = [node for layer in explanation.layers for node in layer.nodes]
    operators = [operator for layer in explanation.layers for operator in layer.operators]
    if explanation.lowers:
        yield Text(
            f"{explanation.model}: all {count(len(nodes), 'node')} become "
            f"{count(len(operators), 'integer operator')} with "
            f"{count(explanation.weights, 'weight')}, "
            f"{'but not exactly' if explanation.notes else 'bit for bit'}.",
            "yellow" if explanation.notes else "green",
        )
        yield from (Text(note, "yellow") for note in explanation.notes)
        yield (
            _fpga_verdict(explanation)
            if explanation.cpu is None
            else Text(f"CPU: {explanation.cpu}.", "cyan")
        )
        return
    failed = [layer.name for layer in explanation.layers if _has(layer, "failed")]
    missed = sum(node.state == "not reached" for node in nodes)
    text = f"{explanation.model} cannot be lowered"
    if failed:
        text += f": {count(len(failed), 'layer')} to change ({_names(failed)})"
    if missed:
        text += f", {count(missed, 'node')} not reached because of that"
    yield Text(f"{text}.", "red")
    if explanation.problem is not None:
        yield _problem(explanation.problem, "red")


def _fpga_verdict(explanation: Explanation) -> Text:
    if explanation.fpga:
        return Text("FPGA: our hardware operators take every layer.", "green")
    refused = [
        layer.name
        for layer in explanation.layers
        if any(operator.fpga is not None for operator in layer.operators)
    ]
    return Text(f"FPGA: not as it is, see {_names(refused)}; the CPU back end runs it.", "yellow")


def _has(layer: LayerExplanation, state: str) -> bool:
    return any(node.state == state for node in layer.nodes)


def _names(names: Iterable[str]) -> str:
    first, *others = [f"'{name}'" for name in names]
    shown = ", ".join([first, *others[:4]])
    return shown if len(others) <= 4 else f"{shown} and {len(others) - 4} more"


def _operator(operator: IntegerOperator) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row(operator.kind, Text(operator.name, "bold"))
    values = f"{interval(*operator.range)} ({count(operator.bits, 'bit')})"
    table.add_row("output", f"{dimensions(operator.shape)} integers in {values}")
    table.add_row("1 means", _spread(operator.scale))
    if any(operator.offset):
        table.add_row("0 means", _spread(operator.offset))
    for plane in operator.weights:
        _add_plane(table, plane)
    if operator.thresholds is not None:
        _add_thresholds(table, operator.thresholds)
    return table


def _spread(ends: tuple[float, float]) -> str:
    low, high = map(real, ends)
    return low if low == high else f"{low} to {high}, by channel"


def _add_plane(table: Table, plane: WeightPlane) -> None:
    total = sum(bar.count for bar in plane.histogram)
    largest = max(bar.count for bar in plane.histogram)
    table.add_row("weights", f"{total:,} {plane.kind} codes {dimensions(plane.shape)}")
    if plane.multipliers:
        table.add_row(
            "multipliers",
            f"{plane.multipliers:,} inside the sum, {interval(*plane.multiplier_range)} "
            f"({count(plane.multiplier_bits, 'bit')})",
        )
    for bar in plane.histogram:
        label = f"{bar.low:,}" if bar.low == bar.high else interval(bar.low, bar.high)
        blocks = "█" * round(BAR_WIDTH * bar.count / largest)
        table.add_row(
            Text(label, justify="right"),
            Text(blocks or "▏" * bool(bar.count), "cyan").append(
                f" {bar.count:,} ({bar.count / total:.1%})", "default"
            ),
        )


def _add_thresholds(table: Table, thresholds: Thresholds) -> None:
    rows = f" × {thresholds.channels} channels" if thresholds.channels > 1 else ""
    table.add_row(
        "thresholds",
        f"{count(thresholds.count, 'threshold')}{rows}, in {interval(*thresholds.range)}",
    )
    if thresholds.falling:
        table.add_row("", f"{count(thresholds.falling, 'channel')} count down: negative scale")
    if thresholds.constant:
        table.add_row("", f"{count(thresholds.constant, 'channel')} always give one code")
