# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows while a build runs."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.status import Status

from qdeploy.build import Build
from qdeploy.report.summary import closing_table
from qdeploy.report.wording import duration
from qdeploy.stages import Outcome

# These draw their own progress bars.
_DRAWS_ITSELF = {"train"}


def show_result(console: Console, build: Build) -> None:
    """The closing table, what slows the accelerator, what was skipped, and where the page is."""
    report = build.report
    console.print(closing_table(report))
    if report.performance and report.performance.slowed_by:
        reason = escape(report.performance.slowed_by)
        console.print(f"[bold red]slower than predicted[/]: {reason}", highlight=False)
    for line in report.skipped:
        console.print(f"[yellow]skipped[/]: {line}", highlight=False)
    page = build.directory / "report.html"
    console.print(f"report: {page if page.exists() else build.directory / 'report.json'}")


class ConsoleProgress:
    """A spinner for the running stage, a line for each finished one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status: Status | None = None

    def __call__(self, name: str, outcome: Outcome | None) -> None:
        """See `qdeploy.pipeline.Progress`."""
        if outcome is None:
            if name not in _DRAWS_ITSELF:
                self._status = self.console.status(f"{name} ...")
                self._status.start()
            return
        self.close()
        done = "[dim]reused[/]" if outcome.reused else f"{outcome.seconds:.1f} s"
        self.console.print(f"[green]✓[/] {name:10} {done}")

    def close(self) -> None:
        """Remove the spinner, also after an error."""
        if self._status is not None:
            self._status.stop()
            self._status = None


class ConsoleWatch:
    """The phase of a bitstream at work with its step and time, a line for each finished one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._phase = ""

    def enter(self, phase: str) -> None:
        """See `qdeploy.bitstream.run.Watch`."""
        self._phase = phase
        if self.console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
            self._progress = Progress(
                *columns, TimeElapsedColumn(), console=self.console, transient=True
            )
            self._progress.add_task(f"{phase} ...", total=None)
            self._progress.start()

    def step(self, text: str) -> None:
        """See `qdeploy.bitstream.run.Watch`."""
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=f"{self._phase}: {text[:60]}")

    def leave(self, phase: str, seconds: float, *, reused: bool) -> None:
        """See `qdeploy.bitstream.run.Watch`."""
        self.close()
        done = "[dim]reused[/]" if reused else duration(seconds)
        self.console.print(f"[green]✓[/] {phase:14} {done}")

    def note(self, text: str) -> None:
        """See `qdeploy.bitstream.run.Watch`."""
        self.console.print(f"[yellow]note[/]: {escape(text)}", highlight=False)

    def close(self) -> None:
        """Remove the spinner, also after an error."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
