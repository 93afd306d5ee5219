# SPDX-License-Identifier: Apache-2.0
"""A package on any device, behind the same calls."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from qdeploy.board.package import Package, open_package
from qdeploy.board.program import Program, machine
from qdeploy.errors import QdeployError, UserError

if TYPE_CHECKING:  # the numpy of older boards has no types
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Device = Literal["auto", "cpu", "sim", "board"]
DEVICES = ("auto", "cpu", "sim", "board")


class Runner(Protocol):
    """The same calls on every device.

    Attributes:
        form: of the network there, for people.
    """

    form: str

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's units and layout to its real outputs."""

    def run_integers(self, x: ArrayLike) -> NDArray[np.int64]:
        """Real inputs [N, ...] to the exact integer outputs, int64."""


def load(package: Package | Path | str, device: Device = "auto") -> Runner:
    """The network of a package on a device.

    Args:
        package: or the path of one. It holds code: take it from where you trust.
        device: "board" (its bitstream), "cpu" (ONNX Runtime, or where that is not installed machine
            code), "sim" (the accelerator, simulated), or "auto": the board if there is one that
            can run it, else the cpu; says which and why on stderr and in `form`.

    Raises:
        UserError: if the package is damaged, or does not hold what the device needs.
        ToolError: if the device does not work.
    """
    opened = package if isinstance(package, Package) else open_package(package)
    if device == "auto":
        return _automatic(opened)
    if device == "cpu":
        return _processor(opened)
    if device == "sim":
        return _simulated(opened)
    if device == "board":
        from qdeploy.board.accelerator import Accelerator

        return Accelerator(opened)
    raise UserError(f"no device '{device}'", remedy=f"choose one of {', '.join(DEVICES)}")


def announce(runner: Runner, not_board: str = "") -> Runner:
    """Say on stderr which device was chosen, and in `form` why it is not the board."""
    if not_board:
        runner.form += f" (not the board: {not_board})"
    print(f"device auto: {runner.form}", file=sys.stderr)
    return runner


def _automatic(package: Package) -> Runner:
    """The board, or the processor and why."""
    try:
        return announce(load(package, "board"))
    except QdeployError as error:
        return announce(_processor(package), str(error).splitlines()[0])


def _processor(package: Package) -> Runner:
    """ONNX Runtime where it is installed, else machine code for this processor."""
    try:
        from qdeploy.cpu import Session
    except ImportError as error:
        name = f"program-{machine()}.bin"
        if name not in package:
            raise UserError(
                f"this machine has no ONNX Runtime ({error}), "
                f"and {package.path.name} no program for its processor ({machine()})",
                remedy="install the whole of qdeploy, or run the package on its board",
            ) from error
        with tempfile.TemporaryDirectory() as folder:
            return Program(package.extract(Path(folder), [name]) / name)
    with tempfile.TemporaryDirectory() as folder:
        session: Runner = Session(package.extract(Path(folder), ["cpu.onnx"]) / "cpu.onnx")
        return session


def _simulated(package: Package) -> Runner:
    try:
        from qdeploy.fpga.packaged import PackagedAccelerator
    except ImportError as error:
        raise UserError(
            f"accelerators cannot be simulated here: {error}",
            remedy="install the whole of qdeploy, or choose another device",
        ) from error
    return PackagedAccelerator(package)
