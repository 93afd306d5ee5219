# SPDX-License-Identifier: Apache-2.0
"""qdeploy selftest."""

from pathlib import Path
from typing import Annotated

import typer

from qdeploy.board.devices import DEVICES, load
from qdeploy.board.selftest import self_test
from qdeploy.build import package_of


def selftest(
    model: Annotated[Path, typer.Argument(help="Package (.qdp) or build folder.")],
    device: Annotated[str, typer.Option(help=f"One of {', '.join(DEVICES)}.")] = "auto",
) -> None:
    """Run a package's test inputs on a device and compare every integer with the reference."""
    package = package_of(model)
    runner = load(package, device)  # type: ignore[arg-type]
    frames = self_test(package, runner)
    print(f"self-test passed: {frames} frames equal the integer reference on {runner.form}")
