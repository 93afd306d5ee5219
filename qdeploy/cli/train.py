# SPDX-License-Identifier: Apache-2.0
"""qdeploy train."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.config import load_config


def train(
    recipe: Annotated[Path, typer.Argument(help="Build file (TOML), see models/.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("run"),
) -> None:
    """Train the float network and its quantized twin."""
    from qdeploy.files import atomic_directory
    from qdeploy.training import train as train_network

    config = load_config(recipe)
    with atomic_directory(output) as partial:
        result = train_network(config.data, config.network, config.training, partial)
    print(f"float {result.float_accuracy:.2%}, quantized {result.accuracy:.2%}; wrote {output}")
