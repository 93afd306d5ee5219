# SPDX-License-Identifier: Apache-2.0
"""qdeploy lower."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.files import atomic_file
from qdeploy.integer import save
from qdeploy.lowering import OutputKind
from qdeploy.lowering import lower as lower_file


def lower(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Integer network to write.")
    ] = Path("integer.npz"),
    kind: Annotated[str, typer.Option("--kind", help="'logits' or 'class'.")] = "logits",
) -> None:
    """Lower a QONNX file to the integer network."""
    network = lower_file(model, _kind(kind))
    with atomic_file(output) as partial:
        save(network, partial)
    for node in network.nodes:
        tensor = network.tensors[node.output]
        weights = getattr(node, "weights", None)
        print(
            f"{node.name:24} {node.kind:12} {'x'.join(map(str, tensor.shape)):12} "
            f"{tensor.range.bits:3} bits  {tensor.range!s:16} {weights.describe() if weights else ''}"
        )
    print(f"wrote {output}")


def _kind(text: str) -> OutputKind:
    if text not in ("logits", "class"):
        raise typer.BadParameter("choose 'logits' or 'class'", param_hint="--kind")
    return "class" if text == "class" else "logits"
