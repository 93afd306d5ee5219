# SPDX-License-Identifier: Apache-2.0
"""Runs of `qdeploy bitstream` for tests: in this process, and as a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qdeploy.bitstream.build import build_bitstream
from qdeploy.bitstream.local import Local, Place
from qdeploy.bitstream.vivado import Installation
from qdeploy.errors import ToolError
from qdeploy.report import Report

PHASES = ["package", "design", "synthesis", "implementation", "bitstream"]


@dataclass
class Record:
    """A `Watch` that remembers.

    Attributes:
        entered: phases in order.
        reused: those of them that were finished before.
        steps: what Vivado was at, by phase.
        notes: for the user.
    """

    entered: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def enter(self, phase: str) -> None:
        self.entered.append(phase)

    def step(self, text: str) -> None:
        self.steps.setdefault(self.entered[-1], []).append(text)

    def leave(self, phase: str, seconds: float, *, reused: bool) -> None:
        assert seconds >= 0
        assert phase == self.entered[-1]
        if reused:
            self.reused.append(phase)

    def note(self, text: str) -> None:
        self.notes.append(text)


def make(build: Path, vivado: Installation, place: Place | None = None) -> tuple[Report, Record]:
    """`build_bitstream` in this process, on this machine unless `place` says where."""
    record = Record()
    report = build_bitstream(build, vivado, place or Local(vivado, None), record)
    return report, record


def start(build: Path, vivado: Installation, stub: str, *options: str) -> subprocess.Popen[str]:
    """`qdeploy bitstream` as a process with a group of its own, as a terminal starts it."""
    command = [sys.executable, "-m", "qdeploy", "bitstream", str(build), *options]
    return subprocess.Popen(
        [*command, "--vivado", str(vivado.folder)],
        env=os.environ | {"VIVADO_STUB": stub, "NO_COLOR": "1", "COLUMNS": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


# Prints a log and ends with a code in one phase, and is the stub in the others.
_FAILING = """\
#!/bin/sh
for word; do case $word in {phase}.log)
  cat "$(dirname "$0")/messages" | tee "$word"
  exit {code};;
esac; done
exec "$(dirname "$0")/stub" "$@"
"""


def fail(vivado: Installation, phase: str, messages: str, code: int = 1) -> None:
    """Let the stub print `messages` and end with `code` in `phase`."""
    stub = vivado.program.with_name("stub")
    if not stub.exists():
        vivado.program.rename(stub)
    vivado.program.write_text(_FAILING.format(phase=phase, code=code))
    vivado.program.chmod(0o755)
    vivado.program.with_name("messages").write_text(messages)


def heal(vivado: Installation) -> None:
    """Undo `fail`."""
    vivado.program.with_name("stub").replace(vivado.program)


def failed_project(build: Path, vivado: Installation) -> Path:
    """Folder of the project of a build that fails."""
    with pytest.raises(ToolError):
        make(build, vivado)
    (project,) = (build / "vivado").iterdir()
    return project
