# SPDX-License-Identifier: Apache-2.0
"""Plots of the accelerator: resources by layer, lanes at work, the pipeline in time, FIFOs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from qdeploy.report.contents import Fifo, Report, Resources, Schedule
from qdeploy.report.svg import ACCENT, INK, LINE, PAPER, draw, shortened
from qdeploy.report.wording import number, percent

# Middle tones that stand out from a light and from a dark page.
COLOURS = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#c9a227", "#9c755f",
)  # fmt: skip
REST = "#8a939c"
WIDTH, ROW = 300, 21
# Frames that the timeline shows at most on each side of the one in the accent colour.
MOST_FRAMES = 24


def shares(report: Report) -> dict[str, tuple[str, dict[str, float]]]:
    """Which layer takes what: colour and percent of the board by resource, by layer.

    The layers that take most have a colour each; "the rest" also holds what belongs to no layer.
    """
    board = _on_board(report)
    taken = {
        layer.name: {
            name: 100 * getattr(layer.used, name.lower()) / part.available
            for name, part in board.items()
        }
        for layer in report.layers
        if layer.used
    }
    largest = sorted(taken, key=lambda layer: -max(taken[layer].values(), default=0.0))
    kept = [layer for layer in taken if layer in largest[: len(COLOURS)]]
    rest = {
        name: 100 * part.used / part.available - sum(taken[layer][name] for layer in kept)
        for name, part in board.items()
    }
    coloured = {layer: (colour, taken[layer]) for layer, colour in zip(kept, COLOURS, strict=False)}
    return coloured | {"the rest": (REST, {name: max(0.0, left) for name, left in rest.items()})}


def _on_board(report: Report) -> dict[str, Resources]:
    return {part.name: part for part in report.resources if part.available}


def utilization(report: Report) -> str:
    """Stacked bars: shares of the board by layer, with a line where the model expects the end."""
    stacks, board = shares(report), _on_board(report)
    positions = range(len(board))

    def paint(axes: Axes) -> None:
        _rows(axes, list(board))
        axes.grid(axis="x", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        left = [0.0] * len(board)
        for colour, taken in stacks.values():
            widths = [taken[name] for name in board]
            axes.barh(positions, widths, 0.6, left, color=colour, edgecolor=PAPER, linewidth=0.5)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        expected = [100 * part.predicted / part.available for part in board.values()]
        axes.vlines(
            expected, [p - 0.42 for p in positions], [p + 0.42 for p in positions], INK, lw=1.5
        )
        axes.set_xlim(0, 1.08 * max([*left, *expected]) or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")

    listed = "; ".join(
        f"{name} {percent(part.used, part.available)}: "
        + ", ".join(f"{layer} {taken[name]:.1f} %" for layer, (_, taken) in stacks.items())
        for name, part in board.items()
    )
    return draw(f"Shares of the board by layer: {listed}", (WIDTH, 2 * ROW * len(board)), paint)


def lane_use(report: Report) -> str:
    """The share of its lanes that each layer keeps at work: the roof is every lane, every cycle."""
    interval = report.interval
    rows = [(layer, layer.lanes) for layer in report.layers if layer.lanes]
    assert interval
    used = [layer.macs / interval for layer, _ in rows]
    labels = [
        f"{percent(part, lanes)} of {number(lanes)}"
        for part, (_, lanes) in zip(used, rows, strict=True)
    ]

    def paint(axes: Axes) -> None:
        axes.spines["bottom"].set_visible(False)
        _rows(axes, [shortened(layer.name) for layer, _ in rows])
        positions = range(len(rows))
        shares = [part / lanes for part, (_, lanes) in zip(used, rows, strict=True)]
        axes.barh(positions, [1] * len(rows), 0.68, color=LINE)
        axes.barh(positions, shares, 0.68, color=ACCENT)
        for position, label in zip(positions, labels, strict=True):
            axes.annotate(label, (1, position), (4, 0), textcoords="offset points", va="center")
        axes.tick_params(labelbottom=False)
        axes.set_xlim(0, 1.9)

    listed = ", ".join(
        f"{layer.name} {label}" for (layer, _), label in zip(rows, labels, strict=True)
    )
    return draw(f"Lanes used: {listed}", (WIDTH, ROW * len(rows) + 8), paint)


def timeline(schedule: Schedule) -> str:
    """When each layer is at work on one frame, and in between on the frames before and after."""
    activities, interval = schedule.activities, schedule.interval
    end = max(activity.last for activity in activities)
    # Tones alternate, to keep the frames apart.
    reach = min(MOST_FRAMES, end // interval + 1)

    def paint(axes: Axes) -> None:
        _rows(axes, [shortened(activity.layer) for activity in activities])
        axes.grid(axis="x", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for shift in range(-reach, reach + 1):
            spans = [(a.first + shift * interval, a.last + shift * interval) for a in activities]
            seen = [place for place, (a, b) in enumerate(spans) if a < end and b > 0]
            axes.barh(
                seen,
                [spans[place][1] - spans[place][0] for place in seen],
                0.68,
                [spans[place][0] for place in seen],
                color=LINE if shift else ACCENT,
                alpha=0.55 if shift % 2 else 1,
                edgecolor=PAPER,
                linewidth=0.5,
                zorder=2 if shift else 3,
            )
        axes.set_xlim(0, max(1, end))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: number(value))
        axes.set_xlabel("cycles")

    listed = ", ".join(f"{a.layer} {number(a.first)} to {number(a.last)}" for a in activities)
    height = ROW * len(activities) + 36
    return draw(f"Cycles in which a layer works on a frame: {listed}", (WIDTH, height), paint)


def fifo_occupancy(fifos: Sequence[Fifo]) -> str:
    """Words that each FIFO can hold and the most that it held; a logarithmic scale."""
    labels = [f"{number(fifo.peak)} of {number(fifo.depth)}" for fifo in fifos]

    def paint(axes: Axes) -> None:
        axes.spines["bottom"].set_visible(False)
        _rows(axes, [shortened(fifo.name) for fifo in fifos])
        deepest = max(fifo.depth for fifo in fifos)
        axes.set_xscale("log", base=2)
        positions = range(len(fifos))
        axes.barh(positions, [fifo.depth for fifo in fifos], 0.68, color=LINE)
        axes.barh(positions, [fifo.peak for fifo in fifos], 0.34, color=ACCENT)
        for position, fifo, label in zip(positions, fifos, labels, strict=True):
            axes.annotate(
                label, (fifo.depth, position), (4, 0), textcoords="offset points", va="center"
            )
        axes.tick_params(labelbottom=False, which="both", bottom=False)
        axes.set_xlim(1, deepest**1.8)

    listed = ", ".join(f"{fifo.name} {label}" for fifo, label in zip(fifos, labels, strict=True))
    return draw(f"Words in FIFOs, most ever: {listed}", (WIDTH, ROW * len(fifos) + 8), paint)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelleft=True)
    axes.set_ylim(len(names) - 0.4, -0.6)
