# SPDX-License-Identifier: Apache-2.0
"""A finished build folder: its files, and its network on any device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy import integer
from qdeploy.errors import UserError
from qdeploy.integer import IntegerNetwork, Integers
from qdeploy.stages import StageStore

if TYPE_CHECKING:
    from qdeploy.report.contents import Report

Device = Literal["cpu", "sim", "board", "reference"]


class Runner(Protocol):
    """The same calls on every device.

    Attributes:
        form: of the network there, for people.
    """

    form: str

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's units and layout to its real outputs."""

    def run_integers(self, x: ArrayLike) -> Integers:
        """Real inputs [N, ...] to the exact integer outputs, int64."""


class ReferenceRunner:
    """The numpy reference behind the calls of a device."""

    form = "numpy reference"

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real outputs."""
        return self.network.real_output(self.run_integers(x))

    def run_integers(self, x: ArrayLike) -> Integers:
        """Integer outputs."""
        return integer.run(self.network, x)


@dataclass(frozen=True)
class Build:
    """The results of a build, by stage.

    Attributes:
        directory: the build folder.
        stages: folder of the finished results of each stage, by stage name.
    """

    directory: Path
    stages: dict[str, Path]

    def file(self, stage: str, name: str) -> Path:
        """A result file.

        Raises:
            UserError: if the stage has not been run in this build.
        """
        path = self.stages.get(stage, Path(stage)) / name
        if not path.exists():
            raise UserError(
                f"{self.directory} holds no result of stage '{stage}'",
                remedy="run 'qdeploy build' or 'qdeploy compile' with this folder as output",
            )
        return path

    @property
    def network(self) -> IntegerNetwork:
        """The integer network."""
        return integer.load(self.file("lower", "integer.npz"))

    @property
    def report(self) -> Report:
        """What the report says, as data."""
        from qdeploy.report.contents import Report

        return Report.model_validate_json((self.directory / "report.json").read_bytes())

    def runner(self, device: Device = "cpu") -> Runner:
        """The network on a device; see `load`."""
        if device == "cpu":
            from qdeploy.cpu import Session

            return Session(self.file("pack", "cpu.onnx"))
        if device == "sim":
            from qdeploy.fpga.simulated import SimulatedAccelerator

            return SimulatedAccelerator(
                self.file("generate", "rtl"), self.file("simulate", "simulator.so"), self.network
            )
        if device == "reference":
            return ReferenceRunner(self.network)
        raise UserError(
            f"device '{device}' cannot run this build"
            + (": it holds no bitstream" if device == "board" else ""),
            remedy=f"choose one of {', '.join(d for d in get_args(Device) if d != 'board')}",
        )


def open_build(directory: Path | str) -> Build:
    """Open a build folder.

    Raises:
        UserError: if it holds no build.
    """
    directory = Path(directory)
    stages = StageStore(directory).latest()
    if not stages:
        raise UserError(
            f"{directory} holds no build",
            remedy="make one with 'qdeploy build' or 'qdeploy compile'",
        )
    return Build(directory, stages)


def load(path: Path | str, device: Device = "cpu") -> Runner:
    """The network of a build on a device.

    Args:
        path: a build folder, or for the cpu a packed cpu.onnx alone.
        device: "cpu" (ONNX Runtime), "sim" (the simulated accelerator), "board", or "reference".

    Raises:
        UserError: if the path holds no build, or not what the device needs.
    """
    if device == "cpu" and Path(path).is_file():
        from qdeploy.cpu import Session

        return Session(Path(path))
    return open_build(path).runner(device)
