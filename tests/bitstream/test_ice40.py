# SPDX-License-Identifier: Apache-2.0
"""The RTL of a network with its shell becomes a bitstream for another vendor's FPGA."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docker_engine import BASE, keep, restore
from sample_networks import small_mlp

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
        restore(module.image())
        keep(module.provide_image())
    return module


def test_a_network_with_its_shell_is_placed_and_routed(ice40: ModuleType, tmp_path: Path) -> None:
    _, files = ice40.write_design(small_mlp(), 1e6, tmp_path)
    placed = ice40.place(tmp_path, files)
    assert placed.bytes == 135100  # every bitstream of an HX8K is as long
    assert 500 < placed.logic_cells < placed.logic_cells_there == 7680
    assert placed.mhz > 40
