# SPDX-License-Identifier: Apache-2.0
"""qdeploy report."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.build import open_build
from qdeploy.report.summary import closing_table


def report(
    directory: Annotated[Path, typer.Argument(help="Build folder.")],
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Print a build's closing table and say where its page is."""
    finished = open_build(directory)
    page = directory / "report.html"
    console = Console()
    console.print(closing_table(finished.report))
    console.print(f"report: {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())
