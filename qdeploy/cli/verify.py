# SPDX-License-Identifier: Apache-2.0
"""qdeploy verify."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.build import open_build
from qdeploy.verification import load_data, random_data
from qdeploy.verification import verify as verify_versions


def verify(
    directory: Annotated[Path, typer.Argument(help="Build folder.")],
    data: Annotated[
        Path | None, typer.Option(help="Test data: .npz with x [N, ...] and optionally y [N].")
    ] = None,
) -> None:
    """Compare the CPU model and the simulated accelerator of a build with the reference."""
    build = open_build(directory)
    network = build.network
    samples = load_data(data, network) if data else random_data(network)
    simulator = None
    if "simulate" in build.stages:
        simulator = (build.file("generate", "rtl"), build.file("simulate", "simulator.so"))
    result = verify_versions(network, samples, build.file("pack", "cpu.onnx"), simulator)
    print(f"{result.frames} frames: {' and '.join(result.compared)} equal the integer reference")
    if result.labelled:
        print(f"correct: {result.correct}")
    if result.simulated_frames_per_second:
        print(
            f"simulated {result.simulated_frames_per_second:,.1f} frames/s, "
            f"{result.simulated_cycles_per_second:,.0f} cycles/s"
        )
