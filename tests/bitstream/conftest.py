# SPDX-License-Identifier: Apache-2.0
"""A small accelerator with its shell, a build folder of it, and the stub of Vivado."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker_engine import provide_base, running_engine
from sample_networks import small_cnn
from stub_installation import install

from qdeploy.bitstream.project import Phase, Project
from qdeploy.bitstream.vivado import Installation, find_vivado
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.shell import generate_shell
from qdeploy.fpga.solver.units import UnitFolding
from qdeploy.integer import save
from qdeploy.report import Layer, Report, Resources
from qdeploy.stages import Stage, StageStore

# Runs a phase in the folder of a project; the value of VIVADO_STUB comes last.
RunPhase = Callable[[Project, Phase, str, str], subprocess.CompletedProcess[str]]


def require_tclsh() -> None:
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is missing: run setup.sh as root, or install the package tcl")


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
    require_tclsh()
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


@pytest.fixture
def build(accelerator: tuple[Path, Path], tmp_path: Path) -> Path:
    """A build folder with the accelerator and a report, as `qdeploy compile` leaves it."""
    store, network = StageStore(tmp_path / "build"), small_cnn()
    store.run(Stage("lower", lambda folder: save(network, folder / "integer.npz")))
    for name, made, inside in zip(
        ("generate", "shell"), accelerator, ("rtl", "shell"), strict=True
    ):
        store.run(Stage(name, lambda folder, m=made, i=inside: shutil.copytree(m, folder / i)))
    layers = [
        Layer(name=node.name, kind=node.kind, shape=(1,), bits=1, low=0, high=1)
        for node in network.nodes
    ]
    resources = [
        Resources(name=name, used=1, predicted=1, finn=None, available=100)
        for name in ("LUT", "FF", "BRAM36", "DSP")
    ]
    report = Report(
        name=network.name,
        version="0",
        board="PYNQ-Z2",
        images=0,
        stages=[],
        layers=layers,
        versions=[],
        resources=resources,
    )
    (tmp_path / "build" / "report.json").write_text(report.model_dump_json())
    return tmp_path / "build"


@pytest.fixture
def vivado(tmp_path: Path) -> Installation:
    """The stub, installed as Vivado 2024.1."""
    require_tclsh()
    folder = tmp_path / "tools" / "Vivado" / "2024.1"
    folder.mkdir(parents=True)
    install(folder, "2024.1")
    return find_vivado(folder)


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A Docker engine with image `docker_engine.BASE`."""
    with running_engine(request.module.__name__):
        provide_base()
        yield
