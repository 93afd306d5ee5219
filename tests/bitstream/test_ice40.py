# SPDX-License-Identifier: Apache-2.0
"""The RTL of a network with its shell becomes a bitstream for another vendor's FPGA."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from docker_engine import BASE
from sample_networks import small_mlp
from scanned_shell import ScannedShell, chip_model

from qdeploy.board.manifest import Stream
from qdeploy.board.streams import pack_frames, unpack_frames
from qdeploy.fpga.shell import load_shell
from qdeploy.integer import run_codes

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ice40.py"


@pytest.fixture
def ice40(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """benchmarks/ice40.py where its tools are, or a Docker engine for them."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("ice40", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ice40", module)
    spec.loader.exec_module(module)
    if not all(map(shutil.which, module.TOOLS)):
        request.getfixturevalue("engine")
        monkeypatch.setenv("QDEPLOY_ICE40_BASE", BASE)
    return module


def test_a_bitstream_computes_what_the_network_does(ice40: ModuleType, tmp_path: Path) -> None:
    network = small_mlp()
    design, files = ice40.write_design(network, 1e6, tmp_path)
    placed = ice40.place(tmp_path, files)
    assert placed.bytes == (tmp_path / "chip.bin").stat().st_size > 100_000
    assert 500 < placed.logic_cells < placed.logic_cells_there == 7680
    assert placed.mhz > 40
    # Registers and frames of the netlist that the bitstream is, bit by bit through its pins.
    shell = load_shell(tmp_path / "shell")
    model = chip_model(ice40.read_back(tmp_path), tmp_path)
    chip = ScannedShell(model, (tmp_path / f"{shell.top}.v").read_text())
    assert chip.read(0x00) == 0x51445031
    build = "".join(f"{chip.read(0x10 + 4 * word):08x}" for word in range(8))
    assert build == shell.build
    codes = np.random.default_rng(0).integers(0, 4, (3, *network.input_tensor.shape))
    chip.send(pack_frames(codes, Stream(**dict(design.input) | dict(shell.input))))
    received = chip.receive(3 * shell.output.frame_bytes).reshape(3, -1)
    expected = run_codes(network, codes)[network.output]
    output = Stream(**dict(design.output) | dict(shell.output))
    assert np.array_equal(unpack_frames(received, output), expected)
    assert (chip.read(0x30), chip.read(0x34)) == (3, 3)
