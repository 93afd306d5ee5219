# SPDX-License-Identifier: Apache-2.0
"""qdeploy export."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="network.safetensors of 'qdeploy train'.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")] = Path(
        "net.onnx"
    ),
) -> None:
    """Export a trained network to a standard QONNX file."""
    from qdeploy.exporter import export as export_checkpoint

    export_checkpoint(checkpoint, output)
    print(f"wrote {output}")
