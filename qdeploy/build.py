# SPDX-License-Identifier: Apache-2.0
"""A finished build folder: its files, and its network on any device."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy import integer
from qdeploy.board import Package, devices, open_package
from qdeploy.board.devices import Runner
from qdeploy.errors import UserError
from qdeploy.files import PACKAGE, cached_file, content_hash
from qdeploy.integer import IntegerNetwork, Integers
from qdeploy.stages import StageStore

__all__ = ["Build", "BuildDevice", "ReferenceRunner", "Runner", "load", "open_build"]

if TYPE_CHECKING:
    from qdeploy.report.contents import Report

SUFFIX = ".qdp"  # of packages
BuildDevice = Literal["auto", "cpu", "sim", "board", "reference"]


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

    def runner(self, device: BuildDevice = "auto") -> Runner:
        """The network on a device; see `load`."""
        if device == "auto":
            if not (why := self._no_board()):
                return devices.load(self.package())
            runner = self.runner("cpu")
            return devices.announce(runner, why)
        if device == "cpu":
            from qdeploy.cpu import Session

            return Session(self.file("pack", "cpu.onnx"))
        if device == "sim":
            from qdeploy.fpga.simulated import SimulatedAccelerator

            return SimulatedAccelerator(
                self.file("generate", "rtl"), self.file("simulate", "simulator.so"), self.network
            )
        if device == "board":
            if "bitstream" not in self.stages:
                raise UserError(
                    f"{self.directory} holds no bitstream", remedy="make one: 'qdeploy bitstream'"
                )
            return devices.load(self.package(), "board")
        if device == "reference":
            return ReferenceRunner(self.network)
        raise UserError(
            f"no device '{device}'", remedy=f"choose one of {', '.join(get_args(BuildDevice))}"
        )

    def package(self) -> Package:
        """The build as a package, which stays in the cache folder."""
        from qdeploy.packaging import package

        made_by = [content_hash(PACKAGE / name) for name in ("packaging.py", "board")]
        stages = sorted(path.name for path in self.stages.values())
        key = hashlib.sha256(repr((made_by, stages)).encode()).hexdigest()
        name = f"{self.network.name}-{key[:16]}{SUFFIX}"
        return open_package(cached_file("packages", name, partial(package, self)))

    def _no_board(self) -> str:
        """Why the build cannot run on a board here; empty if it might."""
        if "bitstream" not in self.stages:
            return "the build has no bitstream"
        return "" if importlib.util.find_spec("pynq") else "PYNQ is not installed here"


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


def package_of(path: Path) -> Package:
    """A package, or the one of a build folder.

    Raises:
        UserError: if the path holds neither.
    """
    return open_build(path).package() if path.is_dir() else open_package(path)


def load(path: Path | str, device: BuildDevice = "auto") -> Runner:
    """A network on a device.

    Args:
        path: a build folder, a package (.qdp), or for the cpu a packed cpu.onnx alone.
        device: "cpu" (ONNX Runtime), "sim" (the simulated accelerator), "board" (its bitstream),
            "auto" (the board if there is one that can run it, else the cpu; says which and why on
            stderr and in `form`), or for a build folder "reference".

    Raises:
        UserError: if the path holds no network, or not what the device needs.
        ToolError: if the device does not work.
    """
    path = Path(path)
    if path.is_dir() or not path.is_file():
        return open_build(path).runner(device)
    if path.suffix == SUFFIX:
        return devices.load(path, device)  # type: ignore[arg-type]
    if device not in {"auto", "cpu"}:
        raise UserError(
            f"{path} runs on the cpu alone", remedy=f"give a build folder or a package ({SUFFIX})"
        )
    from qdeploy.cpu import Session

    session = Session(path)
    return devices.announce(session, "it holds no bitstream") if device == "auto" else session
