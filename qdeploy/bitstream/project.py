# SPDX-License-Identifier: Apache-2.0
"""A folder that Vivado makes a bitstream of: Verilog, settings, and the scripts of hw/vivado."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qdeploy.fpga.board import REGISTERS_SIZE, Board, hardware_directory
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.shell import load_shell

SYNTHESIZED = "reports/utilization_synthesized.rpt"
ROUTED = "reports/utilization_routed.rpt"
TIMING = "reports/timing.rpt"
POWER = "reports/power.rpt"
BITSTREAM, HANDOFF = "board.bit", "board.hwh"

_VENDOR, _LIBRARY, _CORE_VERSION = "qdeploy.org", "qdeploy", "1.0"
_SOURCES = Path("ip/src")
_PLAIN = re.compile(r"[\w.,:/+=@%^~-]+", re.ASCII)
_BRACED = re.compile(r"[ -z|~]*")

Value = str | int | float | Sequence["Value"] | Mapping[str, "Value"]


@dataclass(frozen=True)
class Phase:
    """A start of Vivado in the project's folder, which may be repeated.

    Its last line is `QDEPLOY-PHASE-DONE <name>`.

    Attributes:
        name: of the phase.
        script: relative to the folder.
        results: files that it leaves, relative to the folder.
    """

    name: str
    script: str
    results: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A folder of `write_project`.

    Attributes:
        directory: the folder.
        phases: in order.
    """

    directory: Path
    phases: tuple[Phase, ...] = (
        Phase("package", "package.tcl", ("ip/component.xml",)),
        Phase("design", "design.tcl", ("vivado/accelerator.xpr",)),
        Phase("synthesis", "synthesis.tcl", (SYNTHESIZED,)),
        Phase("implementation", "implementation.tcl", (ROUTED, TIMING, POWER)),
        Phase("bitstream", "bitstream.tcl", (BITSTREAM, HANDOFF)),
    )


def write_project(
    design: Path, shell: Path, board: Board, version: str, directory: Path
) -> Project:
    """Write the folder; nothing in it names a place outside it. Results of phases stay.

    Args:
        design: what `generate` wrote.
        shell: what `generate_shell` wrote for it.
        board: that the bitstream is for.
        version: of Vivado, for instance "2024.1".
        directory: the folder.

    Raises:
        UserError: if there is no design or no shell.
    """
    accelerator, around = load_design(design), load_shell(shell)
    shutil.rmtree(directory / _SOURCES, ignore_errors=True)
    (directory / _SOURCES).mkdir(parents=True)
    for folder, names in ((design, accelerator.files), (shell, around.files)):
        for name in names:
            text = (folder / name).read_text()
            (directory / _SOURCES / name).write_text(_memories_by_name(text))
    for name in accelerator.memories:
        shutil.copyfile(design / name, directory / _SOURCES / name)
    for script in sorted((hardware_directory() / "vivado").glob("*.tcl")):
        shutil.copyfile(script, directory / script.name)
    settings: dict[str, Value] = {
        "version": version,
        "name": accelerator.name,
        "build": around.build,
        "part": board.part,
        "board_part": board.board_part,
        "processor": board.processor,
        "preset": board.preset,
        "clock_mhz": board.clock_mhz,
        "vendor": _VENDOR,
        "library": _LIBRARY,
        "core_version": _CORE_VERSION,
        "top": around.top,
        "beat_bits": 8 * around.beat_bytes,
        "sources": [str(_SOURCES / name) for name in (*accelerator.files, *around.files)],
        "memories": [str(_SOURCES / name) for name in accelerator.memories],
        "registers_size": REGISTERS_SIZE,
        "dma_address": f"{board.dma_address:#x}",
        "accelerator_address": f"{board.accelerator_address:#x}",
        "memory": [f"{n:#x}" for region in board.memory for n in (region.base, region.size)],
        "nodes": _nodes(accelerator),
    }
    lines = (f"    variable {name} {_word(value)}\n" for name, value in settings.items())
    (directory / "settings.tcl").write_text(f"namespace eval settings {{\n{''.join(lines)}}}\n")
    return Project(directory)


def _memories_by_name(verilog: str) -> str:
    """Vivado looks for the contents of memories among the files of the project, by their name."""
    return verilog.replace('$readmemh("./', '$readmemh("')


def _nodes(design: Design) -> dict[str, str]:
    """What people call the instances of the top module."""
    return {f"{node.name}_instance": f"layer '{node.layer}'" for node in design.nodes}


def _word(value: Value) -> str:
    """A word of Tcl that has this value; sequences and mappings become lists."""
    if isinstance(value, Mapping):
        value = [part for item in value.items() for part in item]
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value
        if _BRACED.fullmatch(value) and "\\" not in value:
            return f"{{{value}}}"
        return "".join(map(_character, value))
    if isinstance(value, Sequence):
        return f"{{{' '.join(map(_word, value))}}}"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _character(character: str) -> str:
    if _PLAIN.match(character):
        return character
    if character.isascii() and character.isprintable():
        return f"\\{character}"
    return f"\\u{min(ord(character), 0xFFFD):04x}"
