# SPDX-License-Identifier: Apache-2.0
"""qdeploy generate."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy import integer
from qdeploy.files import atomic_directory
from qdeploy.fpga.board import load_board


def generate(
    model: Annotated[Path, typer.Argument(help="Folded FINN model (folded.onnx).")],
    network: Annotated[Path, typer.Option(help="The integer network it was made from.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("rtl"),
    board: Annotated[str, typer.Option(help="A board of hw/boards.")] = "pynq-z2",
) -> None:
    """Write the Verilog of the whole accelerator."""
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.fpga.generation import generate as generate_design

    with atomic_directory(output) as partial:
        design = generate_design(
            ModelWrapper(str(model)), integer.load(network), load_board(board), partial
        )
    print(f"wrote {output}: top {design.top}, {len(design.files)} Verilog files")
