# SPDX-License-Identifier: Apache-2.0
"""qdeploy explain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.explanation import explain as explain_file
from qdeploy.explanation.terminal import details, overview


def explain(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    layer: Annotated[
        str | None, typer.Argument(help="Only this layer, or module, with its details.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what becomes of each layer and why, without building; exit code 2 if one fails."""
    explanation = explain_file(model)
    if layer is not None:
        explanation = explanation.only(layer)
    if as_json:
        print(explanation.model_dump_json(indent=2))
    else:
        Console(highlight=False).print(details(explanation) if layer else overview(explanation))
    raise typer.Exit(0 if explanation.lowers else 2)
