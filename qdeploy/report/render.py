# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page that needs nothing else: styles and plots are inside."""

from __future__ import annotations

from pathlib import Path

from qdeploy.errors import ToolError
from qdeploy.report import wording
from qdeploy.report.contents import Fifo, Layer, Report, StageSummary

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from qdeploy.report import hardware_plots, plots
except ImportError as error:
    raise ToolError(
        "report",
        f"the HTML page needs Jinja2 and Matplotlib: {error}",
        remedy="run 'make setup', or install the extra 'report'",
    ) from error

CPU_STAGES = ("pack",)
FPGA_STAGES = ("map", "fold", "generate", "shell", "simulate", "estimate")
WEIGHT_MEMORIES = {"block": "block RAM", "distributed": "LUTs", "constant": "logic"}
MOST_CELLS = 1024
MOST_FIFOS = 40
# Words of a FIFO that only cuts the ready path between two nodes.
SHALLOW = 2


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
    luts = {layer.name: layer.used.lut for layer in report.layers if layer.used}
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
        seen=any(layer.seen is not None for layer in report.layers),
        mapped=[layer for layer in report.layers if layer.cycles is not None],
        shares=hardware_plots.shares(report),
        needed=sum(layer.macs for layer in report.layers if layer.lanes) / (report.interval or 1),
        built=sum(layer.lanes or 0 for layer in report.layers),
        weight_memory=_weight_memory,
        multiplier_span=_multiplier_span,
        code_histogram=plots.code_histogram,
        multiplier_map=_multiplier_map,
        lut_plot=plots.layer_bars(luts, "LUT") if luts else "",
        cycle_plot=plots.layer_bars(cycles, "Cycles") if cycles else "",
        lane_plot=hardware_plots.lane_use(report) if any(x.lanes for x in report.layers) else "",
        utilization_plot=hardware_plots.utilization(report) if luts and report.resources else "",
        timeline=hardware_plots.timeline,
        fifo_occupancy=hardware_plots.fifo_occupancy,
        deep_fifos=_deep_fifos(report),
    )


def _deep_fifos(report: Report) -> list[Fifo]:
    """The deepest FIFOs in the order of the data, without those that only part two nodes."""
    fifos = report.schedule.fifos if report.schedule else []
    deep = sorted((fifo.depth for fifo in fifos if fifo.depth > SHALLOW), reverse=True)
    least = deep[:MOST_FIFOS][-1] if deep else 0
    return [fifo for fifo in fifos if deep and fifo.depth >= least]


def _multiplier_map(layer: Layer) -> str:
    """The heat map; none of a matrix too large to look at, whose range the caption tells."""
    cells = sum(len(row) for row in layer.multipliers)
    return plots.multiplier_map(layer) if 0 < cells <= MOST_CELLS else ""


def _weight_memory(layer: Layer) -> str:
    return WEIGHT_MEMORIES.get(layer.weight_memory or "", "–")


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
