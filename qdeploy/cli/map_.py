# SPDX-License-Identifier: Apache-2.0
"""qdeploy map."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy import integer
from qdeploy.config import compile_config
from qdeploy.files import atomic_file
from qdeploy.fpga.board import load_board

FPS = typer.Option(help="Frames per second to aim for; 10,000 by default.")
FILL = typer.Option(help="As fast as this share of the board allows.")
LATENCY = typer.Option("--latency", help="Minimize the latency of a frame.")


def map_(
    network: Annotated[Path, typer.Argument(help="Integer network (integer.npz).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="FINN model to write.")] = Path(
        "folded.onnx"
    ),
    board: Annotated[str, typer.Option(help="A board of hw/boards.")] = "pynq-z2",
    fps: Annotated[float | None, FPS] = None,
    fill: Annotated[float | None, FILL] = None,
    latency: Annotated[bool, LATENCY] = False,
) -> None:
    """Map an integer network to FINN's hardware operators and fold it for a frame rate."""
    from qdeploy.fpga.folding import fold
    from qdeploy.fpga.mapping import map_network

    config = compile_config(board=board, fps=fps, fill=fill, latency=latency)
    source, target = integer.load(network), load_board(config.board)
    folded = fold(
        map_network(source),
        target,
        config.target_fps,
        fill=config.fill or 1.0,
        latency=config.latency,
        any_form={node.name for node in source.nodes},
    )
    with atomic_file(output) as partial:
        folded.model.save(str(partial))
    rate = target.clock_mhz * 1e6 / folded.cycles_per_frame
    print(
        f"wrote {output}: {folded.cycles_per_frame:,} cycles per frame ({folded.critical_node}), "
        f"{rate:,.0f} frames/s at {target.clock_mhz:g} MHz"
    )
    print(folded.record.describe())
