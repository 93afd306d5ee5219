# SPDX-License-Identifier: Apache-2.0
"""qdeploy simulate."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdeploy import integer
from qdeploy.verification import random_data


def simulate(
    design: Annotated[Path, typer.Argument(help="Design folder (rtl).")],
    network: Annotated[Path, typer.Option(help="The integer network it was made from.")],
    frames: Annotated[
        int | None, typer.Option(min=3, help="Random frames to feed: 64, 3 with --trace.")
    ] = None,
    gap: Annotated[float, typer.Option(min=0, max=0.95, help="Chance of an input gap.")] = 0.0,
    stall: Annotated[float, typer.Option(min=0, max=0.95, help="Chance of an output stall.")] = 0.0,
    trace: Annotated[
        Path | None, typer.Option(help="Write all signals to this VCD file (GTKWave, Surfer).")
    ] = None,
) -> None:
    """Build the accelerator with Verilator and compare it with the integer reference."""
    from qdeploy.fpga.localization import simulate_exactly
    from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator

    count = frames or (64 if trace is None else 3)
    source = integer.load(network)
    codes = source.quantizer.quantize(random_data(source, count).x)
    expected = integer.run_codes(source, codes)[source.output]
    with tempfile.TemporaryDirectory() as scratch, Console().status("building the simulator ..."):
        built = build_simulator(design, Path(scratch), trace=trace is not None)
        accelerator = SimulatedAccelerator(design, built, source)
    if trace is not None:
        accelerator.trace(trace)
    run = simulate_exactly(
        *(accelerator, codes, expected, "the simulated accelerator"),
        input_gap=gap,
        output_stall=stall,
    )
    print(
        f"{count} frames equal the integer reference; {run.initiation_interval:,.1f} cycles per "
        f"frame (predicted {accelerator.design.cycles_per_frame:,}), latency {run.latency:,} cycles"
    )
    if run.slowed_by:
        print(f"slower than predicted: {run.slowed_by}")
    print(
        f"simulated {run.frames_per_second:,.1f} frames/s, {run.cycles_per_second:,.0f} cycles/s"
        + (f"; wrote {trace}" if trace else "")
    )
