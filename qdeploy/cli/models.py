# SPDX-License-Identifier: Apache-2.0
"""qdeploy models."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdeploy.zoo import COLUMNS, load_zoo, zoo_json

# Columns of characters; with fewer, numbers would be cut.
_WIDTH = 150


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the trained models that 'qdeploy compile models/NAME' builds."""
    found = load_zoo()
    if as_json:
        print(zoo_json(found), end="")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(COLUMNS[0], no_wrap=True)
    table.add_column(COLUMNS[1])
    table.add_column(COLUMNS[2])
    for title in COLUMNS[3:]:
        table.add_column(title, justify="right", no_wrap=True)
    for model in found:
        table.add_row(*model.cells())
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)
    console.print(table)
