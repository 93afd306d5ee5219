# SPDX-License-Identifier: Apache-2.0
"""report.json and report.html of a build folder."""

from __future__ import annotations

from pathlib import Path

from qdeploy.files import atomic_file
from qdeploy.report.contents import Report


def write_report(report: Report, directory: Path, *, page: bool) -> None:
    """Write report.json and, where the plotting packages are (`page`), report.html."""
    with atomic_file(directory / "report.json") as partial:
        partial.write_text(report.model_dump_json(indent=2) + "\n")
    if page:
        from qdeploy.report.render import render

        with atomic_file(directory / "report.html") as partial:
            partial.write_text(render(report), encoding="utf-8")
