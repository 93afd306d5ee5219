# SPDX-License-Identifier: Apache-2.0
"""qdeploy simulate."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy import integer
from qdeploy.verification import random_data, require_equal


def simulate(
    design: Annotated[Path, typer.Argument(help="Design folder (rtl).")],
    network: Annotated[Path, typer.Option(help="The integer network it was made from.")],
    frames: Annotated[int, typer.Option(min=3, help="Random frames to feed.")] = 64,
    gap: Annotated[float, typer.Option(min=0, max=0.95, help="Chance of an input gap.")] = 0.0,
    stall: Annotated[float, typer.Option(min=0, max=0.95, help="Chance of an output stall.")] = 0.0,
) -> None:
    """Build the accelerator with Verilator and compare it with the integer reference."""
    from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator

    source = integer.load(network)
    codes = source.quantizer.quantize(random_data(source, frames).x)
    with tempfile.TemporaryDirectory() as scratch, Console().status("building the simulator ..."):
        accelerator = SimulatedAccelerator(design, build_simulator(design, Path(scratch)), source)
        run = accelerator.run_codes(codes, input_gap=gap, output_stall=stall)
    expected = integer.run_codes(source, codes)[source.output]
    require_equal(expected, run.outputs, "the simulated accelerator")
    print(
        f"{frames} frames equal the integer reference; {run.initiation_interval:,.1f} cycles per "
        f"frame (predicted {accelerator.design.cycles_per_frame:,}), latency {run.latency:,} cycles"
    )
