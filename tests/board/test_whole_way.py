# SPDX-License-Identifier: Apache-2.0
"""From a QONNX file to the board: compile, bitstream (the stub of Vivado), package, PYNQ.

The board runs an unmodified PYNQ; its FPGA is the verilated design behind the overlay's handoff.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from bitstream.bitstream_runs import make
from bitstream.stub_installation import install
from environments import python, run
from small_builds import inputs, small_build

import qdeploy
from qdeploy import integer
from qdeploy.bitstream.vivado import find_vivado
from qdeploy.build import Build, open_build
from qdeploy.packaging import package
from qdeploy.simulation.shell import build_shell_model

PROGRAM = """
import sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
import pynq
import qdeploy
from qdeploy.board.__main__ import main
from qdeploy.simulation.pynq_device import SimulatedDevice
from qdeploy.simulation.shell import ShellSimulator

folder, model = map(Path, sys.argv[1:])
(simulator,), rtl = (folder / "simulator").glob("*.so"), folder / "rtl"
pynq.Device.active_device = SimulatedDevice(lambda: ShellSimulator(simulator, rtl))
assert main(["preflight", str(model)]) == 0
assert main(["selftest", str(model), "--device", "board"]) == 0
accelerator = qdeploy.load(model, device="board")
x = np.load(folder / "x.npy")
np.save(folder / "integers.npy", accelerator.run_integers(x))
np.save(folder / "reals.npy", accelerator.run(x))
accelerator.close()
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """With the results of the stub."""
    pytest.importorskip("finn")
    if shutil.which("tclsh") is None:
        pytest.skip("there is no tclsh (Debian: tcl)")
    folder = tmp_path_factory.mktemp("whole")
    made = small_build(folder, "Yosys")
    tools = folder / "Vivado" / "2022.2"
    tools.mkdir(parents=True)
    install(tools, "2022.2")
    make(made.directory, find_vivado(tools))
    return open_build(made.directory)


@pytest.mark.slow
def test_equal_arrays_on_every_device(build: Build, tmp_path: Path) -> None:
    interpreter = python("3.11", "pynq==3.1.2", "pycparser<3")
    x, model = inputs(3), tmp_path / "model.qdp"
    assert package(build, model).bitstream
    rtl, shell = build.file("generate", "rtl"), build.file("shell", "shell")
    shutil.copytree(rtl, tmp_path / "rtl")
    (tmp_path / "simulator").mkdir()
    build_shell_model(rtl, shell, tmp_path / "simulator")
    np.save(tmp_path / "x.npy", x)
    said = run(str(interpreter), "-c", PROGRAM, str(tmp_path), str(model))
    assert "ok   bitstream: loaded" in said
    assert "self-test passed" in said
    integers, reals = (np.load(tmp_path / f"{name}.npy") for name in ("integers", "reals"))
    assert np.array_equal(integers, integer.run(build.network, x))
    for path, device in (
        (model, "cpu"),
        (model, "sim"),
        (build.directory, "cpu"),
        (build.directory, "sim"),
        (build.directory, "reference"),
    ):
        runner = qdeploy.load(path, device=device)
        assert np.array_equal(runner.run_integers(x), integers)
        assert np.array_equal(runner.run(x), reals)
