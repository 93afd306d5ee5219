# SPDX-License-Identifier: Apache-2.0
"""qdeploy estimate."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy.files import atomic_file
from qdeploy.fpga.board import load_board


def estimate(
    design: Annotated[Path, typer.Argument(help="Design folder (rtl).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON file to write.")] = Path(
        "estimate.json"
    ),
    board: Annotated[str, typer.Option(help="A board of hw/boards.")] = "pynq-z2",
) -> None:
    """Count LUTs, FFs, BRAMs and DSPs of the accelerator with Yosys."""
    from qdeploy.fpga.estimation import estimate as estimate_design

    target = load_board(board)
    with Console().status("synthesizing with Yosys ..."):
        result = estimate_design(design, target)
    with atomic_file(output) as partial:
        partial.write_text(result.model_dump_json(indent=2) + "\n")
    total = result.total
    print(
        f"wrote {output}: {total.lut:,} of {target.resources.lut:,} LUT, {total.ff:,} FF, "
        f"{total.bram36:g} BRAM36, {total.dsp} DSP on {target.name}"
    )
