# SPDX-License-Identifier: Apache-2.0
"""qdeploy lower."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdeploy.config import compile_config
from qdeploy.files import atomic_file
from qdeploy.integer import save, weights_of
from qdeploy.lowering import lower as lower_file
from qdeploy.verification.targets import rescaling_of
from qdeploy.verification.wording import rescaling_sentence

RESCALE = typer.Option(
    help="Let branches meet whose scales have no small ratio: round it to so many bits."
)
INPUT_TYPE = typer.Option(
    help="Numbers the input holds, if the file does not quantize it: uint8/255, int8, fixed<16,6>."
)


def lower(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Integer network to write.")
    ] = Path("integer.npz"),
    result: Annotated[str, typer.Option(help="'logits' or 'class'.")] = "logits",
    rescale_bits: Annotated[int | None, RESCALE] = None,
    input_type: Annotated[str | None, INPUT_TYPE] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Samples on which the error of --rescale-bits is measured: .npz with x."),
    ] = None,
) -> None:
    """Lower a QONNX file to the integer network."""
    config = compile_config(result=result, rescale_bits=rescale_bits, input_type=input_type)
    network = lower_file(model, config.result, config.rescale_bits, config.input_type)
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
            ", ".join(weights.describe() for weights in weights_of(node)),
        )
    Console().print(table)
    for note in network.notes:
        print(f"note: {note}")
    rescaling = rescaling_of(model, network, data, config.input_type)
    if rescaling is not None:
        print(f"rounded scales: {rescaling_sentence(rescaling)}")
    print(f"wrote {output}")
