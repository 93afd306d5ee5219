# SPDX-License-Identifier: Apache-2.0
"""Where Vivado runs: the interface, and this machine."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from qdeploy.bitstream import processes
from qdeploy.bitstream.log import Cause
from qdeploy.bitstream.vivado import Installation

JOBS = "QDEPLOY_JOBS"  # variable that hw/vivado reads
STOPPED = "run the same command again: finished phases are kept"


class Place(Protocol):
    """Where Vivado runs.

    Attributes:
        tool: name of what fails there but Vivado.
    """

    tool: str

    def prepare(self, project: Path) -> None:
        """Stop what an earlier run left at work in the folder, and make the folder usable."""

    def command(self, project: Path, arguments: Sequence[str]) -> list[str]:
        """The command line that starts Vivado in the folder."""

    def environment(self, project: Path) -> Mapping[str, str]:
        """Variables of that command."""

    def stop(self, project: Path) -> None:
        """End Vivado and all that it started; waits for it."""

    def ended(self, project: Path, code: int) -> Cause | None:
        """Why Vivado ended with this code, if something outside it is to blame."""


class Local:
    """Vivado as a program of this machine."""

    tool = "Vivado"

    def __init__(self, installation: Installation, jobs: int | None) -> None:
        """`jobs`: threads of Vivado, None for its own choice."""
        self.installation = installation
        self.jobs = {JOBS: str(jobs)} if jobs else {}

    def prepare(self, project: Path) -> None:
        """See `Place`."""
        self.stop(project)

    def command(self, project: Path, arguments: Sequence[str]) -> list[str]:
        """See `Place`."""
        return [str(self.installation.program), *arguments]

    def environment(self, project: Path) -> Mapping[str, str]:
        """See `Place`."""
        return {**processes.marked(project), **self.jobs}

    def stop(self, project: Path) -> None:
        """See `Place`."""
        processes.stop(project)

    def ended(self, project: Path, code: int) -> Cause | None:
        """See `Place`; the shell around Vivado gives 128 + the signal that ended it."""
        number = -code if code < 0 else code - 128
        if number not in {signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP}:
            return None
        return Cause(
            "stopped",
            f"it was ended from outside ({signal.Signals(number).name})",
            f"{STOPPED}; if nobody ended it, see that memory suffices",
        )
