# SPDX-License-Identifier: Apache-2.0
"""The runtime on a board in Python."""

from pathlib import Path

import packages
import pytest
from runtime_checks import CHECKS, FRAMES

from qdeploy.board import accelerator, dma
from qdeploy.board.package import Package, open_package
from qdeploy.packaging import write_archive


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return open_package(board_package(tmp_path_factory.mktemp("board") / "model.qdp"))


def board_package(path: Path) -> Path:
    """A package with a bitstream that moves `FRAMES` frames at once."""
    manifest, files = packages.doubling()
    cycles = 10_000 * manifest["board"]["clock_mhz"] / FRAMES
    manifest |= {"cycles_per_frame": int(cycles), "latency": int(cycles)}
    write_archive(path, manifest, files | {"board.bit": b"bits", "board.hwh": b"<xml/>"})
    return path


@pytest.mark.parametrize("check", CHECKS)
def test_runtime(check: str, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (accelerator, dma):
        monkeypatch.setattr(module, "time", module.time)  # checks set another one
    CHECKS[check](package)
