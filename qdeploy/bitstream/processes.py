# SPDX-License-Identifier: Apache-2.0
"""Processes of a build on this machine, found by a mark in their environment (Linux).

Vivado starts others for its runs, some in sessions of their own: killing one process or its group
does not end them, and a qdeploy that was killed leaves them all.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from qdeploy.errors import ToolError

MARK = "QDEPLOY_BITSTREAM"
PATIENCE = 10.0  # seconds until what ignores SIGTERM is killed


def marked(directory: Path) -> dict[str, str]:
    """The environment of processes that build in `directory`."""
    return os.environ | {MARK: str(directory)}


def stop(directory: Path) -> None:
    """End all processes that build in `directory`; waits until they are gone.

    Raises:
        ToolError: if one cannot be ended.
    """
    begun = time.monotonic()
    while processes := _of(directory):
        waited = time.monotonic() - begun
        if waited > 2 * PATIENCE:
            raise ToolError(
                "Vivado", f"process {processes[0]} does not end", remedy=f"kill -9 {processes[0]}"
            )
        number = signal.SIGTERM if waited < PATIENCE else signal.SIGKILL
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)
        time.sleep(0.1)


def _of(directory: Path) -> list[int]:
    entry = f"{MARK}={directory}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or another user's
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [process for process in found if process != os.getpid()]
