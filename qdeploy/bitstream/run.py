# SPDX-License-Identifier: Apache-2.0
"""Phases of a Vivado project, one after the other; a second call goes on where the first ended.

A phase is finished once Vivado has said so, its results are there and `<phase>.done` is written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import shlex
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qdeploy.bitstream import log
from qdeploy.bitstream.local import Place
from qdeploy.bitstream.log import Cause
from qdeploy.bitstream.project import Phase, Project
from qdeploy.errors import ToolError, UserError
from qdeploy.files import atomic_file

MOST_LINES = 100_000  # of a phase's output that are searched for its error
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Watch(Protocol):
    """Is told of the progress."""

    def enter(self, phase: str) -> None:
        """A phase begins."""

    def step(self, text: str) -> None:
        """It enters a step."""

    def leave(self, phase: str, seconds: float, *, reused: bool) -> None:
        """It is finished, or was before."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Failure:
    """A phase that failed.

    Attributes:
        phase: its name.
        cause: why.
        log: where Vivado wrote what it did.
        command: that was run, in the project's folder.
    """

    phase: str
    cause: Cause
    log: Path
    command: str


def run_phases(project: Project, place: Place, watch: Watch) -> Failure | None:
    """Run all phases that are not finished, up to the first that fails.

    Raises:
        UserError: if another qdeploy works in the folder, or the disk is full.
        ToolError: if the program cannot be started.
    """
    folder = project.directory
    with _only_one(folder), full_disk_told(folder):
        place.prepare(folder)
        reused = True
        for phase in project.phases:
            marker = folder / f"{phase.name}.done"
            reused = reused and marker.is_file() and _has_results(folder, phase)
            watch.enter(phase.name)
            if not reused:
                marker.unlink(missing_ok=True)
                started = time.time()
                if failure := _run(folder, phase, place, watch):
                    return failure
                with atomic_file(marker) as partial:
                    partial.write_text(json.dumps({"seconds": time.time() - started}) + "\n")
            watch.leave(phase.name, json.loads(marker.read_text())["seconds"], reused=reused)
    return None


def _run(folder: Path, phase: Phase, place: Place, watch: Watch) -> Failure | None:
    record = f"{phase.name}.log"
    arguments = ["-mode", "batch", "-nojournal", "-notrace", "-log", record]
    command = place.command(folder, [*arguments, "-source", phase.script])
    started = time.time()
    lines: deque[str] = deque(maxlen=MOST_LINES)
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env=place.environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for qdeploy, which then stops all of it
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    if text := log.step(line):
                        watch.step(text)
            except BaseException:
                place.stop(folder)
                raise
        code = process.returncode
        done = f"QDEPLOY-PHASE-DONE {phase.name}" in lines
        if code == 0 and done and _has_results(folder, phase):
            return None
        cause = log.first_error(lines) or log.error_of_runs(folder, started)
        if cause is None or cause.kind == "other":
            cause = place.ended(folder, code) or cause
        cause = cause or Cause("other", _end(lines, code), "the log says more")
        return Failure(phase.name, cause, folder / record, shlex.join(command))
    except PermissionError as error:
        raise ToolError(
            "Vivado", f"cannot run {command[0]}: {error.strerror}", remedy="see its permissions"
        ) from error
    finally:
        place.stop(folder)


def _has_results(folder: Path, phase: Phase) -> bool:
    files = [folder / name for name in phase.results]
    return all(file.is_dir() or (file.is_file() and file.stat().st_size) for file in files)


def _end(lines: deque[str], code: int) -> str:
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"it ended with exit code {code} before it was done: {last[: log.LONGEST]}"


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Say of a full disk that it is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise UserError(
            f"the disk of {folder} is full",
            remedy="free some gigabytes and run the same command again: finished phases are kept",
        ) from error


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another qdeploy builds the bitstream in {folder}",
                remedy="wait for it, or stop it with Ctrl-C",
            ) from error
        yield
