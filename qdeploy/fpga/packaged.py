# SPDX-License-Identifier: Apache-2.0
"""The accelerator of a package, simulated; the compiled simulator stays in the cache folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.board.conversion import Conversion
from qdeploy.board.fields import damaged
from qdeploy.board.package import Package, Streams
from qdeploy.errors import UserError
from qdeploy.fpga.design import load_design
from qdeploy.fpga.simulated import SimulatedDesign, build_simulator

_RTL = "rtl/"


class PackagedAccelerator:
    """The RTL of a package behind the calls of every device.

    Args:
        package: with an accelerator. Its Verilog becomes a program that runs here.

    Raises:
        UserError: if it holds none.
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """

    form = SimulatedDesign.form

    def __init__(self, package: Package) -> None:
        if package.manifest.streams is None:
            raise UserError(
                f"{package.path.name} holds no accelerator", remedy="choose device 'cpu'"
            )
        self._conversion = Conversion(package)
        self._folder = tempfile.TemporaryDirectory()
        names = [name for name in package.manifest.files if name.startswith(_RTL)]
        rtl = package.extract(Path(self._folder.name), names) / _RTL
        _check_design(package.manifest.streams, rtl)
        self._design = SimulatedDesign(rtl, build_simulator(rtl, rtl))

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's units and layout to its real outputs.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        return self._conversion.reals(self.run_integers(x))

    def run_integers(self, x: ArrayLike) -> NDArray[np.int64]:
        """Like `run`, but to the exact integer outputs, int64."""
        return self._design.run_codes(self._conversion.codes(x)).outputs


def _check_design(streams: Streams, rtl: Path) -> None:
    """That the design has the streams of the manifest."""
    design = load_design(rtl)
    for stream, said in ((design.input, streams.input), (design.output, streams.output)):
        if any(getattr(said, name) != value for name, value in stream.model_dump().items()):
            raise damaged(f"{_RTL}design.json and manifest.json describe different streams")
