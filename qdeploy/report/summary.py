# SPDX-License-Identifier: Apache-2.0
"""The closing table that a build prints in the terminal; fits in 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from qdeploy.report.contents import Implementation, Performance, Report, Sizes, Version
from qdeploy.report.wording import factor, number, percent, version_title


def closing_table(report: Report) -> Table:
    """Accuracy, size, speed and resources in four columns; parts that are missing are left out."""
    title = f"{report.name} on {report.board}" if report.board else report.name
    table = Table(title=Text(title, style="bold"), box=box.ROUNDED, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for version in report.versions:
        _add_version(table, version, report.images)
    table.add_section()
    if report.sizes:
        _add_sizes(table, report.sizes)
    table.add_section()
    if report.performance:
        _add_performance(table, report.performance)
    table.add_section()
    for part in report.resources:
        taken = part.used if part.routed is None else part.routed
        table.add_row(
            Text(part.name if part.routed is None else f"{part.name}, routed"),
            number(taken),
            f"of {number(part.available)}",
            percent(taken, part.available),
        )
    if report.implementation:
        _add_implementation(table, report.implementation)
    if not table.row_count:
        table.add_row("nothing was measured")
    return table


def _add_version(table: Table, version: Version, images: int) -> None:
    if version.correct is None:
        accuracy, correct = "–", "no labels"
    else:
        accuracy = percent(version.correct, images)
        correct = f"{number(version.correct)} of {number(images)}"
    table.add_row(Text(version_title(version)), accuracy, correct, _equality(version))


def _equality(version: Version) -> Text:
    if version.equal is None:
        return Text("the reference" if version.name == "integer" else "")
    if version.equal:
        return Text("equal to integer", style="green")
    return Text("DIFFERENT", style="bold red")


def _add_sizes(table: Table, sizes: Sizes) -> None:
    table.add_row("Weights, float32", f"{number(sizes.float_bytes)} B", "", "")
    smaller = f"{factor(sizes.float_bytes, sizes.packed_bytes)} smaller"
    table.add_row("Weights, packed", f"{number(sizes.packed_bytes)} B", smaller, "")
    table.add_row("cpu.onnx, whole file", f"{number(sizes.file_bytes)} B", "", "")


def _add_performance(table: Table, speed: Performance) -> None:
    predicted, measured = speed.predicted_cycles, speed.measured_cycles
    table.add_row(
        "Cycles/frame, measured", number(measured), f"predicted {number(predicted)}", _pace(speed)
    )
    microseconds = f"{speed.latency_cycles / speed.clock_mhz:.2f} µs"
    table.add_row("Latency, cycles", number(speed.latency_cycles), microseconds, "")
    table.add_row(
        "Frames per second",
        number(round(speed.frames_per_second)),
        f"at {number(speed.clock_mhz)} MHz",
        Text(f"slowest: {speed.slowest}"),
    )


def _add_implementation(table: Table, made: Implementation) -> None:
    table.add_row(
        "Clock, routed",
        f"{number(made.clock_mhz)} MHz",
        f"slack {made.slack_ns:.3f} ns",
        f"up to {made.reachable_mhz:.1f} MHz",
    )
    table.add_row("Power, estimated", f"{made.watts:.2f} W", "", f"by Vivado {made.vivado}")


def _pace(speed: Performance) -> Text:
    if speed.slowed_by:
        return Text("SLOWER", style="bold red")
    if speed.measured_cycles == speed.predicted_cycles:
        return Text("equal", style="green")
    return Text("still filling" if speed.measured_cycles > speed.predicted_cycles else "")
