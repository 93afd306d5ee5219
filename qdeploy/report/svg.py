# SPDX-License-Identifier: Apache-2.0
"""Plots as inline SVG: text stays text, colours follow the page, the bytes repeat.

Matplotlib draws in marker colours that become the page's CSS variables, so that a plot is readable
on a light and on a dark background.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, LINE, ACCENT, PAPER = "#010203", "#010204", "#010205", "#010206"
PAGE_COLOURS = {
    INK: "var(--ink, #1b1f24)",
    LINE: "var(--line, #c4cad1)",
    ACCENT: "var(--accent, #2563a8)",
    PAPER: "var(--paper, #ffffff)",
}
POINTS_PER_INCH = 72
LONGEST_NAME = 22


def shortened(name: str) -> str:
    """The end of a long dotted name, where layers differ, so that the bars keep their room."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def draw(description: str, size: tuple[int, int], paint: Callable[[Axes], None]) -> str:
    """Run `paint` on axes of `size` points; `description` is what a screen reader says."""
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": description,  # makes the ids in a page of many plots differ
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "font.size": 10.5,
        "font.sans-serif": ["DejaVu Sans"],
        "text.color": INK,
        "axes.edgecolor": LINE,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.bottom": False,
        "ytick.left": False,
        "ytick.labelleft": False,
    }
    buffer = io.StringIO()
    with matplotlib.style.context(["default", style]), warnings.catch_warnings():
        # The browser has the letters that Matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        inches = (size[0] / POINTS_PER_INCH, size[1] / POINTS_PER_INCH)
        figure = Figure(figsize=inches, layout="constrained")
        paint(figure.add_subplot())
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    return _inline(buffer.getvalue(), description)


def _inline(document: str, description: str) -> str:
    """An SVG document as an element of a page: no prologue, style sheet or group ids."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for marker, colour in PAGE_COLOURS.items():
        svg = svg.replace(marker, colour)
    label = html.escape(description)
    # A function, because a replacement string would interpret backslashes in the name.
    return re.sub(
        r'<svg .*?(viewBox="[^"]*").*?>',
        lambda match: f'<svg {match[1]} role="img" aria-label="{label}">',
        svg,
        count=1,
        flags=re.DOTALL,
    )
