# SPDX-License-Identifier: Apache-2.0
"""qdeploy build."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.cli.progress import ConsoleProgress, show_result
from qdeploy.config import load_config


def build(
    recipe: Annotated[Path, typer.Argument(help="Build file (TOML), see models/.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Build folder.")] = Path("build"),
) -> None:
    """Do everything: train, export, compile, simulate, estimate, verify, report."""
    from qdeploy import pipeline

    config = load_config(recipe)
    console = Console()
    with closing(ConsoleProgress(console)) as progress:
        finished = pipeline.build(config, output, progress)
    show_result(console, finished)
