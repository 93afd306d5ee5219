# SPDX-License-Identifier: Apache-2.0
"""The explanation as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

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
    WeightPlane,
)
from qdeploy.explanation.wording import dimensions, interval, number

MARKS = {"lowered": ("✓", "green"), "failed": ("✗", "red"), "not reached": ("·", "yellow")}
BAR_WIDTH = 30


def overview(explanation: Explanation) -> RenderableType:
    """All layers, then the verdict."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_row(Text("layer and node", "dim"), Text("becomes", "dim"), Text("bits", "dim"))
    for layer in explanation.layers:
        _add_layer(table, layer)
    return Group(table, Text(), *_verdict(explanation))


def details(explanation: Explanation, layers: list[LayerExplanation]) -> RenderableType:
    """Some layers, with their weights, scales and thresholds."""
    parts: list[RenderableType] = []
    for layer in layers:
        parts.append(overview(explanation.model_copy(update={"layers": (layer,)})))
        parts.extend(Padding(_operator(operator), (1, 0, 0, 2)) for operator in layer.operators)
    return Group(*parts)


def _add_layer(table: Table, layer: LayerExplanation) -> None:
    table.add_row(Text(layer.name, "bold"), "", "")
    computed = [n for n in layer.nodes if n.constant and n.bits_out is None]
    for node in layer.nodes:
        if node not in computed:
            _add_node(table, node)
    if computed:
        names = ", ".join(dict.fromkeys(n.operator for n in computed))
        table.add_row(Text(f"  {_several(len(computed), 'constant')}", "dim"),
                      Text(f"{names}: computed at compile time", "dim"), "")
    for operator in layer.operators:
        if operator.fpga is not None:
            table.add_row(Text("  FPGA ✗", "yellow"), _reason(operator.fpga), "")


def _add_node(table: Table, node: NodeExplanation) -> None:
    mark, style = MARKS[node.state]
    name = Text(f"{mark} ", style).append(node.operator, "default")
    text: Text = Text(node.became, "dim" if node.state == "not reached" else "")
    if node.problem is not None:
        text = _reason(node.problem, "red")
    table.add_row(name, text, _bits(node))


def _bits(node: NodeExplanation) -> str:
    if node.bits_out is None:
        return ""
    if node.constant or node.bits_in is None:
        return f"real → {node.bits_out}"
    return "" if node.bits_in == node.bits_out else f"{node.bits_in} → {node.bits_out}"


def _reason(problem: Problem, style: str = "yellow") -> Text:
    text = Text(problem.reason, style)
    return text.append(f"\nWhat to do: {problem.remedy}", "default") if problem.remedy else text


def _verdict(explanation: Explanation) -> Iterator[Text]:
    if explanation.problem is not None:
        yield _reason(explanation.problem, "red")
    nodes = [node for layer in explanation.layers for node in layer.nodes]
    lowered = sum(node.state == "lowered" for node in nodes)
    yield Text(f"{explanation.model}: {lowered} of {len(nodes)} nodes, {explanation.weights:,}")


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _operator(operator: IntegerOperator) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(f"{operator.kind} {operator.name}", "bold"))
    table.add_row("output", f"{dimensions(operator.shape)}, {operator.bits} bits")
    return table


def _plane(plane: WeightPlane) -> RenderableType:
    return Text(plane.kind)
