# SPDX-License-Identifier: Apache-2.0
"""qdeploy bitstream."""

import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.cli.progress import ConsoleWatch
from qdeploy.report import closing_table


def bitstream(
    directory: Annotated[Path, typer.Argument(help="Build folder.")],
    vivado: Annotated[
        Path | None,
        typer.Option(help="Folder of Vivado; else that of XILINX_VIVADO or the one on PATH."),
    ] = None,
    docker: Annotated[
        bool, typer.Option("--docker/--no-docker", help="In a container, or on this machine.")
    ] = True,
    base_image: Annotated[
        str | None, typer.Option(help="Docker image to build ours on, else Ubuntu 22.04.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads of Vivado; by default as it likes.")
    ] = None,
) -> None:
    """Build the bitstream with Vivado; after a stop the same command goes on."""
    from qdeploy.bitstream.build import build_bitstream
    from qdeploy.bitstream.docker import Container
    from qdeploy.bitstream.local import Local, Place
    from qdeploy.bitstream.vivado import find_vivado

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as cleanly as Ctrl-C
    installation = find_vivado(vivado)
    place: Place = (
        Container(installation, jobs, base_image) if docker else Local(installation, jobs)
    )
    console = Console()
    with closing(ConsoleWatch(console)) as watch:
        report = build_bitstream(directory, installation, place, watch)
    console.print(closing_table(report))
    console.print(f"bitstream: {directory / 'board.bit'}", highlight=False)
