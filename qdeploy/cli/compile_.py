# SPDX-License-Identifier: Apache-2.0
"""qdeploy compile."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.cli.lower import INPUT_TYPE, RESCALE
from qdeploy.cli.map_ import FILL, FPS, LATENCY
from qdeploy.cli.progress import ConsoleProgress, show_result
from qdeploy.config import compile_config


def compile_(
    model: Annotated[Path, typer.Argument(help="QONNX file, or models/NAME of 'qdeploy models'.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Build folder.")] = Path("build"),
    board: Annotated[str, typer.Option(help="A board of hw/boards.")] = "pynq-z2",
    fps: Annotated[float | None, FPS] = None,
    fill: Annotated[float | None, FILL] = None,
    latency: Annotated[bool, LATENCY] = False,
    result: Annotated[str, typer.Option(help="'logits' or 'class'.")] = "logits",
    rescale_bits: Annotated[int | None, RESCALE] = None,
    emit: Annotated[
        str | None, typer.Option(help="'finn': also write the input of 'finn build'.")
    ] = None,
    hls: Annotated[
        list[str] | None,
        typer.Option(help="A layer that FINN makes with HLS in what --emit writes; repeatable."),
    ] = None,
    input_type: Annotated[str | None, INPUT_TYPE] = None,
    data: Annotated[
        Path | None, typer.Option(help="Test data: .npz with x [N, ...] and optionally y [N].")
    ] = None,
) -> None:
    """Compile a QONNX file to a packed CPU model and a simulated accelerator."""
    from qdeploy import pipeline

    config = compile_config(
        board=board,
        fps=fps,
        fill=fill,
        latency=latency,
        result=result,
        rescale_bits=rescale_bits,
        emit=emit,
        hls=tuple(hls or ()),
        input_type=input_type,
    )
    console = Console()
    with closing(ConsoleProgress(console)) as progress:
        finished = pipeline.compile_model(model, config, output, progress, data)
    show_result(console, finished)
