# SPDX-License-Identifier: Apache-2.0
"""qdeploy train."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy import api


def train(
    recipe: Annotated[Path, typer.Argument(help="Build file (TOML), see models/.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("run"),
) -> None:
    """Train the float network and its quantized twin."""
    result = api.train(recipe, output)
    width = (
        "" if result.average_bits is None else f" with {result.average_bits:.2f} bits per weight"
    )
    print(f"float {result.float_accuracy:.2%}, quantized {result.accuracy:.2%}{width}; {output}")
