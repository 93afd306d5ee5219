# SPDX-License-Identifier: Apache-2.0
"""qdeploy lower."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdeploy.config import compile_config
from qdeploy.files import atomic_file
from qdeploy.integer import Convolution, Linear, save
from qdeploy.lowering import lower as lower_file


def lower(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Integer network to write.")
    ] = Path("integer.npz"),
    result: Annotated[str, typer.Option(help="'logits' or 'class'.")] = "logits",
) -> None:
    """Lower a QONNX file to the integer network."""
    network = lower_file(model, compile_config(result=result).result)
    with atomic_file(output) as partial:
        save(network, partial)
    table = Table(box=None, pad_edge=False)
    for title in ("layer", "operator", "shape", "bits", "range", "weights"):
        table.add_column(title)
    for node in network.nodes:
        tensor = network.tensors[node.output]
        table.add_row(
            node.name,
            node.kind,
            "x".join(map(str, tensor.shape)),
            str(tensor.range.bits),
            str(tensor.range),
            node.weights.describe() if isinstance(node, (Convolution, Linear)) else "",
        )
    Console().print(table)
    print(f"wrote {output}")
