# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page that needs nothing else: styles and plots are inside."""

from __future__ import annotations

from pathlib import Path

from qdeploy.errors import ToolError
from qdeploy.report import wording
from qdeploy.report.contents import Layer, Report, StageSummary

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from qdeploy.report import plots
except ImportError as error:
    raise ToolError(
        "report",
        f"the HTML page needs Jinja2 and Matplotlib: {error}",
        remedy="run 'make setup', or install the extra 'report'",
    ) from error

CPU_STAGES = ("pack",)
FPGA_STAGES = ("map", "fold", "generate", "simulate", "estimate")
MOST_CELLS = 1024


def render(report: Report) -> str:
    """The page as text (UTF-8, ends with a newline); the same report gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=wording.number,
        signed=wording.signed,
        duration=wording.duration,
        shape=wording.shape,
        version_title=wording.version_title,
    )
    luts = {layer.name: layer.luts for layer in report.layers if layer.luts is not None}
    cycles = {layer.name: layer.cycles for layer in report.layers if layer.cycles is not None}
    return environment.get_template("page.html.j2").render(
        report=report,
        result=wording.result(report),
        branches=_branches(report.stages),
        percent=wording.percent,
        factor=wording.factor,
        span=wording.span,
        weighted=[layer for layer in report.layers if layer.weights is not None],
        luts=luts,
        mapped=bool(luts or cycles),
        seen=any(layer.seen is not None for layer in report.layers),
        multiplier_span=_multiplier_span,
        code_histogram=plots.code_histogram,
        multiplier_map=_multiplier_map,
        lut_plot=plots.layer_bars(luts, "LUT") if luts else "",
        cycle_plot=plots.layer_bars(cycles, "Cycles") if cycles else "",
    )


def _multiplier_map(layer: Layer) -> str:
    """The heat map; none of a matrix too large to look at, whose range the caption tells."""
    cells = sum(len(row) for row in layer.multipliers)
    return plots.multiplier_map(layer) if 0 < cells <= MOST_CELLS else ""


def _multiplier_span(layer: Layer) -> str:
    values = [value for row in layer.multipliers for value in row]
    return wording.span(min(values), max(values))


def _branches(stages: list[StageSummary]) -> list[tuple[str, list[StageSummary]]]:
    """The stages in the rows of the picture: the model's, then the two back ends it forks into."""
    rows: dict[str, list[StageSummary]] = {"Model": [], "CPU": [], "FPGA": [], "Both": []}
    for stage in stages:
        if stage.name in CPU_STAGES:
            rows["CPU"].append(stage)
        elif stage.name in FPGA_STAGES:
            rows["FPGA"].append(stage)
        else:
            rows["Both" if rows["CPU"] or rows["FPGA"] else "Model"].append(stage)
    return [(row, members) for row, members in rows.items() if members]
