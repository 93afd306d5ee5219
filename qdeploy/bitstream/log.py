# SPDX-License-Identifier: Apache-2.0
"""What Vivado prints: the step it is at, and the first real error with its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LONGEST = 400  # characters of a line that a message repeats
MOST_BYTES = 64 << 20  # of a log that is read

_STEP = re.compile(
    r"(?:Start(?:ing)? (?P<task>[A-Z].{2,60})|Phase (?P<phase>\d[\d.]* [A-Z].{2,60})"
    r"|(?P<bit>(?:Creating bitmap|Creating bitstream|Writing bitstream)).*"
    r"|\[.*\] Launched (?P<run>[\w, ]+)\.\.\.)\s*$"
)
# Messages that only say that something failed before.
_LATER = re.compile(
    r"\[Common 17-(39|69|70)\]|\[Vivado 12-13638\]|\[qdeploy run\]|failed due to earlier errors"
)


@dataclass(frozen=True)
class Cause:
    """Why a phase failed.

    Attributes:
        kind: "licence", "version", "part", "board", "ip", "disk", "memory", "libraries",
            "utilization", "timing", "crash", "stopped" or "other".
        problem: in words, with the values.
        remedy: what to do.
    """

    kind: str
    problem: str
    remedy: str


_AGAIN = "run the same command again: finished phases are kept"


@dataclass(frozen=True)
class _Known:
    """A message whose cause is known; named groups of `pattern` are values of `problem`."""

    kind: str
    pattern: str
    problem: str
    remedy: str


_KNOWN = (
    _Known(
        "licence",
        r"\[Common 17-34[58]\].*feature '(?P<feature>\w+)' and/or device '(?P<device>\w+)'",
        "there is no licence for feature '{feature}' and device '{device}'",
        "set XILINXD_LICENSE_FILE to a licence file (a licence server or one bound to a network "
        "card needs --no-docker), or take a board whose part Vivado Standard builds free of charge",
    ),
    _Known(
        "board",
        r"\[Board 49-71\] The board_part definition was not found for (?P<board>\S+?)\.? The",
        "the files of board {board} are not installed",
        "install them with Tools > Vivado Store > Boards",
    ),
    _Known(
        "part",
        r"\[Coretcl 2-106\]",
        "the board's part is not installed",
        "add its device family with Vivado's installer ('Add Design Tools or Devices')",
    ),
    _Known(
        "version",
        r"\[qdeploy version\]|\[BD_TCL-109\]|created (in|with|using) a (newer|later) version",
        "the project is of another version of Vivado",
        "delete the folder 'vivado' in the build folder and run the same command again",
    ),
    _Known(
        "ip",
        r"(VLNV:? <?|no IP core )(?P<core>[\w.-]+:[\w.:*-]+)",
        "this Vivado has no IP core {core}",
        "install a supported version of Vivado completely",
    ),
    _Known(
        "disk",
        r"(?i)no space left on device|disk quota exceeded|file too large|\[Common 17-1294\]"
        r"|HDDMProto::writeMessage failed",
        "the disk is full",
        f"free some gigabytes and {_AGAIN}",
    ),
    _Known(
        "memory",
        r"std::bad_alloc|(?i:out of memory|cannot allocate memory)|Killed\s+\"\$RDI_PROG\""
        r"|Parent process \(pid",
        "the memory is full",
        f"use fewer --jobs, close other programs or add swap space, and {_AGAIN}",
    ),
    _Known(
        "libraries",
        r"(?P<library>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        "this system lacks {library}",
        "install the package that holds it, or build in Docker, without --no-docker",
    ),
    _Known(
        "utilization",
        r"requires more (?P<cells>.+?) cells than are available.*requires (?P<needed>\d+) of such "
        r"cell types? but only (?P<available>\d+)",
        "the design needs {needed} {cells}, the part has {available}",
        "fold it more: compile with fewer --fps or a smaller --fill",
    ),
    _Known(
        "timing",
        r"\[qdeploy timing\]|\[Timing 38-282\]",
        "the design is too slow for its clock",
        "lower clock_mhz in hw/boards, or fold otherwise: compile with other --fps",
    ),
    _Known(
        "crash",
        r"(An unexpected error has occurred|Abnormal program termination) \((?P<number>\d+)\)",
        "Vivado crashed with signal {number}",
        f"see that memory suffices and {_AGAIN}",
    ),
)
_PATTERNS = tuple((known, re.compile(known.pattern)) for known in _KNOWN)


def step(line: str) -> str | None:
    """The step that Vivado enters with this line of its output, in its own words."""
    found = _STEP.match(line.strip())
    if found is None:
        return None
    text = next(part for part in found.groups() if part)
    return text.split(" : ")[0].split(" | ")[0].strip()


def first_error(lines: Iterable[str]) -> Cause | None:
    """The first message that is no consequence of an earlier one; None if there is none."""
    before = ""
    for line in lines:
        if cause := _known(line):
            return cause
        if line.startswith("ERROR") and not _LATER.search(line):
            return _other(line)
        # Errors of Tcl itself have no number; their trace begins on the next line.
        if line.strip() == "while executing" and not before.startswith("ERROR"):
            return _other(before)
        if line.strip():
            before = line
    return None


def error_of_runs(project: Path, since: float) -> Cause | None:
    """The first error in logs of synthesis and implementation runs written after `since`."""
    logs = [log for log in project.rglob("runme.log") if log.stat().st_mtime >= since]
    for log in sorted(logs, key=lambda path: path.stat().st_mtime):
        if cause := first_error(_lines(log)):
            return cause
    return None


def _lines(log: Path) -> list[str]:
    with log.open("rb") as stream:
        return stream.read(MOST_BYTES).decode(errors="replace").splitlines()


def _known(line: str) -> Cause | None:
    for known, pattern in _PATTERNS:
        if found := pattern.search(line):
            problem = known.problem.format_map(found.groupdict())
            return Cause(known.kind, f"{problem} ({_short(line)})", known.remedy)
    return None


def _other(line: str) -> Cause:
    return Cause("other", _short(line), "the log says more")


def _short(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
