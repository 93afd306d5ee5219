# SPDX-License-Identifier: Apache-2.0
"""qdeploy run."""

import sys
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import typer

from qdeploy.build import BuildDevice, load
from qdeploy.cli.selftest import selftest
from qdeploy.errors import UserError
from qdeploy.files import atomic_file


def run(
    model: Annotated[Path, typer.Argument(help="Build folder, package (.qdp) or cpu.onnx.")],
    x: Annotated[
        Path | None, typer.Option("--input", help="Inputs (.npy), [N, ...]; or --selftest.")
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--selftest", help="Run the package's own test instead.")
    ] = False,
    device: Annotated[
        str, typer.Option(help=f"One of {', '.join(get_args(BuildDevice))}.")
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the outputs (.npy).")
    ] = None,
) -> None:
    """Run a network on inputs in the model's own units and layout."""
    if self_test == (x is not None):
        raise UserError("there is nothing to run", remedy="give either --input or --selftest")
    if x is None:
        selftest(model, device)
        return
    try:
        inputs = np.load(x, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {x}: {error}", remedy="save it with numpy.save") from error
    runner = load(model, device)  # type: ignore[arg-type]
    if device != "auto":
        print(f"{device}: {runner.form}", file=sys.stderr)
    y = runner.run(inputs)
    if output is None:
        print(np.array2string(y, threshold=200, precision=4, suppress_small=True))
        return
    with atomic_file(output) as partial, partial.open("wb") as file:
        np.save(file, y)
    print(f"wrote {output}: {y.shape}")
