# SPDX-License-Identifier: Apache-2.0
"""qdeploy selftest."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.board import open_package
from qdeploy.board.devices import DEVICES, load
from qdeploy.board.selftest import self_test
from qdeploy.build import open_build


def selftest(
    model: Annotated[Path, typer.Argument(help="Package (.qdp) or build folder.")],
    device: Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}.")] = "auto",
) -> None:
    """Run a package's test inputs on a device and compare every integer with the reference."""
    package = open_build(model).package() if model.is_dir() else open_package(model)
    runner = load(package, device)  # type: ignore[arg-type]
    frames = self_test(package, runner)
    print(f"self-test passed: {frames} frames equal the integer reference on {runner.form}")
