# SPDX-License-Identifier: Apache-2.0
"""qdeploy explain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.cli.lower import INPUT_TYPE, RESCALE
from qdeploy.config import compile_config
from qdeploy.errors import UserError
from qdeploy.explanation import explain as explain_file
from qdeploy.explanation.terminal import details, overview


def explain(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    layer: Annotated[
        str | None, typer.Argument(help="Only this layer, or module, with its details.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu: say which kernel each layer gets there.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Kind of processor (AVX2, SSSE3 ...), by default this one."),
    ] = None,
    rescale_bits: Annotated[int | None, RESCALE] = None,
    input_type: Annotated[str | None, INPUT_TYPE] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what becomes of each layer and why, without building; exit code 2 if one fails."""
    config = compile_config(rescale_bits=rescale_bits, input_type=input_type)
    if device not in {None, "cpu"} or (target is not None and device is None):
        raise UserError(
            "only kernels of the CPU are explained by device and target",
            remedy="use --device cpu; FPGA operators are explained without --device",
        )
    explanation = explain_file(
        model, config.rescale_bits, config.input_type, cpu=device == "cpu", target=target
    )
    if layer is not None:
        explanation = explanation.only(layer)
    if as_json:
        print(explanation.model_dump_json(indent=2))
    else:
        Console(highlight=False).print(details(explanation) if layer else overview(explanation))
    raise typer.Exit(0 if explanation.lowers else 2)
