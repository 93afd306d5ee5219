# SPDX-License-Identifier: Apache-2.0
"""Vivado's reports as data: utilization by operator, timing, power."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qdeploy.bitstream.project import BITSTREAM, HANDOFF
from qdeploy.build import Build
from qdeploy.errors import ToolError
from qdeploy.fpga.design import Design, DesignNode
from qdeploy.fpga.shell import load_shell

FILE_NAME = "bitstream.json"
RESULTS = (BITSTREAM, HANDOFF, "reports")  # of the stage, linked in the build folder

_COLUMNS = {"lut": "Total LUTs", "ff": "FFs", "bram36": "RAMB36", "bram18": "RAMB18", "dsp": "DSP"}
_NUMBER = re.compile(r"\s*(\d+)")
_SLACK = re.compile(r"^\s*WNS\(ns\).*\n[\s-]*\n\s*(-?\d+\.\d+|NA)", re.MULTILINE)
_HOLD = re.compile(r"^\s*WNS\(ns\).*\n[\s-]*\n(?:\s*\S+){4}\s+(-?\d+\.\d+|NA)", re.MULTILINE)
_PATH = re.compile(
    r"^Slack \((?:VIOLATED|MET)\) :\s*(?P<slack>-?\d+\.\d+)ns.*\n\s*Source:\s*(?P<source>\S+)"
    r"(?:.*\n){1,4}?\s*Destination:\s*(?P<destination>\S+)",
    re.MULTILINE,
)
_POWER = re.compile(r"\|\s*(Total On-Chip Power|Dynamic|Device Static) \(W\)\s*\|\s*(\d+\.?\d*)")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Taken(_Part):
    """What a piece of the design takes by Vivado; a block RAM of 18 kbit is a half."""

    lut: int = 0
    ff: int = 0
    bram36: float = 0
    dsp: int = 0

    def __add__(self, other: Taken) -> Taken:
        sums = {key: getattr(self, key) + getattr(other, key) for key in type(self).model_fields}
        return Taken.model_validate(sums)


class Utilization(_Part):
    """A hierarchical utilization report.

    Attributes:
        total: the whole design with DMA and processor interface.
        accelerator: the accelerator alone.
        nodes: hardware nodes of the accelerator by name, as far as Vivado kept them apart.
    """

    total: Taken
    accelerator: Taken
    nodes: dict[str, Taken]


class Timing(_Part):
    """A timing summary.

    Attributes:
        slack: of the worst setup path, in ns; negative if it is too slow.
        hold_slack: of the worst hold path, in ns.
        source: pin where the worst setup path begins.
        destination: pin where it ends.
        node: the hardware node it ends in (or begins), None outside the accelerator.
    """

    slack: float
    hold_slack: float
    source: str
    destination: str
    node: str | None

    def reachable_mhz(self, clock_mhz: float) -> float:
        """The clock at which the worst setup path, routed for `clock_mhz`, has no slack."""
        return 1e3 / (1e3 / clock_mhz - self.slack)


class Power(_Part):
    """Watts by Vivado's estimate without switching activity."""

    total: float
    dynamic: float
    static: float


class Results(_Part):
    """What a bitstream is: stage `bitstream` keeps it as bitstream.json.

    Attributes:
        vivado: version.
        build: hash of accelerator and shell, as the shell's registers give it.
        part: the part.
        clock_mhz: clock of the accelerator.
        synthesized: after synthesis.
        routed: after placing and routing.
        timing: after routing.
        power: after routing.
    """

    vivado: str
    build: str
    part: str
    clock_mhz: float
    synthesized: Utilization
    routed: Utilization
    timing: Timing
    power: Power


def utilization(report: Path, design: Design) -> Utilization:
    """Of `report_utilization -hierarchical`.

    Raises:
        ToolError: if the report is not like that.
    """
    nodes: dict[str, Taken] = {}
    total, accelerator = None, None
    names = {f"{node.name}_instance": node.name for node in design.nodes}
    for instance, module, taken in _rows(report):
        total = total or taken
        if module == design.top:
            accelerator = accelerator or taken
        if instance in names:
            nodes[names[instance]] = taken
    if total is None:
        raise _unreadable(report)
    whole = sum(nodes.values(), Taken())
    return Utilization(total=total, accelerator=accelerator or whole, nodes=nodes)


def timing(report: Path, design: Design) -> Timing:
    """Of `report_timing_summary`.

    Raises:
        ToolError: if the report is not like that.
    """
    text = report.read_text(errors="replace")
    setup, hold = _SLACK.search(text), _HOLD.search(text)
    if setup is None or hold is None or "NA" in (setup[1], hold[1]):
        raise _unreadable(report)
    paths = [found for found in _PATH.finditer(text) if float(found["slack"]) == float(setup[1])]
    source, destination = (paths[0]["source"], paths[0]["destination"]) if paths else ("", "")
    node = node_of(destination, design) or node_of(source, design)
    return Timing(
        slack=float(setup[1]),
        hold_slack=float(hold[1]),
        source=source,
        destination=destination,
        node=node.name if node else None,
    )


def power(report: Path) -> Power:
    """Of `report_power`.

    Raises:
        ToolError: if the report is not like that.
    """
    found = dict(_POWER.findall(report.read_text(errors="replace")))
    try:
        return Power(
            total=float(found["Total On-Chip Power"]),
            dynamic=float(found["Dynamic"]),
            static=float(found["Device Static"]),
        )
    except KeyError as error:
        raise _unreadable(report) from error


def node_of(pin: str, design: Design) -> DesignNode | None:
    """The hardware node that a pin or cell of the routed design is in."""
    names = {f"{node.name}_instance": node for node in design.nodes}
    return next((names[part] for part in pin.split("/") if part in names), None)


def bitstream_of(build: Build) -> tuple[Path, Results] | None:
    """Folder and numbers of the bitstream of a build; None without one of its present design."""
    folder, shell = build.stages.get("bitstream"), build.stages.get("shell")
    if folder is None or shell is None or not (folder / FILE_NAME).is_file():
        return None
    results = Results.model_validate_json((folder / FILE_NAME).read_bytes())
    return (folder, results) if results.build == load_shell(shell / "shell").build else None


def by_layer(nodes: dict[str, Taken], design: Design) -> dict[str, Taken]:
    """What the nodes of each layer take together."""
    layers: dict[str, Taken] = {}
    for node in design.nodes:
        if node.name in nodes:
            layers[node.layer] = layers.get(node.layer, Taken()) + nodes[node.name]
    return layers


def _rows(report: Path) -> Iterator[tuple[str, str, Taken]]:
    """Instance, module, and what it and all in it take."""
    places: dict[str, int] = {}
    for line in report.read_text(errors="replace").splitlines():
        cells = line.split("|")[1:-1]
        if len(cells) > 4 and cells[0].strip() == "Instance":
            titles = [cell.strip() for cell in cells]
            places = {
                key: index
                for key, start in _COLUMNS.items()
                for index, title in enumerate(titles)
                if title.startswith(start)
            }
        elif places and len(cells) > max(places.values()) and "(" not in cells[0]:
            found = {key: _NUMBER.match(cells[index]) for key, index in places.items()}
            counts = {key: int(number[1]) if number else 0 for key, number in found.items()}
            bram36 = counts.get("bram36", 0) + counts.get("bram18", 0) / 2
            yield (
                cells[0].strip(),
                cells[1].strip(),
                Taken(lut=counts["lut"], ff=counts["ff"], bram36=bram36, dsp=counts.get("dsp", 0)),
            )


def _unreadable(report: Path) -> ToolError:
    return ToolError(
        "Vivado",
        f"{report} is not the report that was asked for",
        remedy="tell us the version of Vivado and send the report",
    )
