# SPDX-License-Identifier: Apache-2.0
"""A small accelerator with its shell, and the stub of Vivado."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_networks import small_cnn
from stub_installation import install

from qdeploy.bitstream.project import Phase, Project
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.shell import generate_shell
from qdeploy.fpga.solver.units import UnitFolding

# Runs a phase in the folder of a project; the value of VIVADO_STUB comes last.
RunPhase = Callable[[Project, Phase, str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def accelerator(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a design, which has contents of a block RAM, and of its shell."""
    rtl, shell = (tmp_path_factory.mktemp(name) for name in ("rtl", "shell"))
    board, network = load_board("pynq-z2"), small_cnn()
    folding = {"fc": UnitFolding(1, 4, "block")}
    folded = fold(map_network(network), board, board.clock_mhz * 1e6 / 600, folding)
    generate(folded.model, network, board, rtl)
    generate_shell(rtl, shell)
    assert list(rtl.glob("*.mem"))
    return rtl, shell


@pytest.fixture(scope="session")
def run_phase(tmp_path_factory: pytest.TempPathFactory) -> RunPhase:
    """Start the stub; its calls are added to the project's calls.jsonl."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is missing: run setup.sh as root, or install the package tcl")
    programs: dict[str, Path] = {}

    def run(
        project: Project, phase: Phase, version: str, pretended: str = ""
    ) -> subprocess.CompletedProcess[str]:
        if version not in programs:
            programs[version] = install(tmp_path_factory.mktemp("vivado") / version, version)
        options = ["-mode", "batch", "-nojournal", "-notrace", "-log", f"{phase.name}.log"]
        calls = project.directory / "calls.jsonl"
        return subprocess.run(
            [programs[version], *options, "-source", phase.script],
            cwd=project.directory,
            env=os.environ | {"VIVADO_STUB": pretended, "VIVADO_STUB_CALLS": str(calls)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
