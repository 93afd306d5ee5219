# SPDX-License-Identifier: Apache-2.0
"""qdeploy report."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.build import open_build
from qdeploy.cli.progress import show_result


def report(
    directory: Annotated[Path, typer.Argument(help="Build folder.")],
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Print a build's closing table and say where its page is."""
    finished = open_build(directory)
    show_result(Console(), finished)
    if show:
        webbrowser.open((directory / "report.html").resolve().as_uri())
