# SPDX-License-Identifier: Apache-2.0
"""Plots of layers: their weight codes, their multipliers, one number of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from qdeploy.report.contents import Layer
from qdeploy.report.svg import ACCENT, LINE, draw, shortened
from qdeploy.report.wording import number, percent, signed

# Light to dark blue: the lightest cell takes black numbers, the darkest white ones.
SEQUENTIAL = LinearSegmentedColormap.from_list("sequential", ["#e3eefa", "#8fbce6", "#1d5a9b"])
MOST_LABELLED_BARS = 8
MOST_LABELLED_COLUMNS = 9
MOST_LABELLED_ROWS = 12


def code_histogram(layer: Layer) -> str:
    """How often each weight code occurs, with counts and shares where there is room for them."""
    codes = sorted(layer.code_counts)
    counts = [layer.code_counts[code] for code in codes]
    total = sum(counts)

    def paint(axes: Axes) -> None:
        axes.spines["left"].set_visible(False)
        if len(codes) > MOST_LABELLED_BARS:
            every = range(codes[0], codes[-1] + 1)
            edges = [code - 0.5 for code in (*every, codes[-1] + 1)]
            heights = [layer.code_counts.get(code, 0) for code in every]
            axes.stairs(heights, edges, fill=True, color=ACCENT)
            axes.tick_params(labelleft=True)
            axes.yaxis.set_major_formatter(lambda value, _: number(value))
            return
        bars = axes.bar(range(len(codes)), counts, width=0.7, color=ACCENT)
        labels = [f"{number(count)}\n{percent(count, total)}" for count in counts]
        axes.bar_label(bars, labels, padding=2, linespacing=1.15)
        axes.set_xticks(range(len(codes)), [signed(code) for code in codes])
        axes.set_xlim(-0.7, len(codes) - 0.3)
        axes.margins(y=0.3)

    counted = ", ".join(
        f"{signed(code)}: {number(count)}" for code, count in zip(codes, counts, strict=True)
    )
    return draw(f"Weight codes of {layer.name}: {counted}", (210, 150), paint)


def multiplier_map(layer: Layer) -> str:
    """The integer multipliers as a heat map, with the numbers in the cells where they fit."""
    values = np.array(layer.multipliers)
    rows, columns = values.shape
    lowest, highest = int(values.min()), int(values.max())

    def paint(axes: Axes) -> None:
        axes.set_axis_off()
        # One value everywhere gets the middle colour instead of an arbitrary end.
        margin = 0 if highest > lowest else 1
        axes.pcolormesh(
            values,
            cmap=SEQUENTIAL,
            vmin=lowest - margin,
            vmax=highest + margin,
            edgecolors=LINE,
            linewidth=0.5,
        )
        axes.invert_yaxis()
        if columns > MOST_LABELLED_COLUMNS or rows > MOST_LABELLED_ROWS:
            return
        dark = lowest + 0.6 * (highest - lowest)
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > dark else "black"
            axes.text(
                column + 0.5, row + 0.5, signed(value), color=colour, ha="center", va="center"
            )

    listed = "; ".join(" ".join(signed(value) for value in row) for row in layer.multipliers)
    return draw(f"Multipliers of {layer.name}, row by row: {listed}", (210, 150), paint)


def layer_bars(values: Mapping[str, float], unit: str) -> str:
    """One horizontal bar per layer with its number; the first layer on top."""
    positions = range(len(values))

    def paint(axes: Axes) -> None:
        axes.spines["bottom"].set_visible(False)
        bars = axes.barh(positions, list(values.values()), height=0.68, color=ACCENT)
        axes.bar_label(bars, [number(value) for value in values.values()], padding=3)
        axes.set_yticks(positions, [shortened(name) for name in values])
        axes.tick_params(labelleft=True, labelbottom=False)
        axes.invert_yaxis()
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.margins(x=0.18)

    listed = ", ".join(f"{name} {number(value)}" for name, value in values.items())
    return draw(f"{unit} per layer: {listed}", (300, 21 * len(values) + 8), paint)
