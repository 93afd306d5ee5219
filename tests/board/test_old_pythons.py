# SPDX-License-Identifier: Apache-2.0
"""The runtime in the Pythons of boards: 3.8 to 3.12, numpy 1.17 to 2, 32-bit and 64-bit ARM."""

from pathlib import Path

import pytest
from environments import NUMPY, TESTS, emulated_python, python, run
from rehearsal import cpu_package
from runtime_checks import CHECKS
from test_runtime import board_package

CHECKS_SCRIPT = str(TESTS / "board" / "runtime_checks.py")


@pytest.mark.parametrize("version", NUMPY)
def test_pythons(version: str, tmp_path: Path) -> None:
    interpreter = str(python(version, NUMPY[version]))
    said = run(interpreter, CHECKS_SCRIPT, str(board_package(tmp_path / "model.qdp")))
    assert said.startswith(f"{len(CHECKS)} checks {version} ")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["armhf", "arm64"])
def test_arm(architecture: str, tmp_path: Path) -> None:
    command = emulated_python(architecture)
    said = run(*command, CHECKS_SCRIPT, str(board_package(tmp_path / "model.qdp")))
    assert said.startswith(f"{len(CHECKS)} checks 3.11 ")


@pytest.mark.parametrize("architecture", ["armhf", "arm64"])
def test_arm_processor_takes_over(architecture: str, tmp_path: Path) -> None:
    """Without a bitstream the board's command runs machine code, and says why."""
    package = str(cpu_package(tmp_path))
    said = run(*emulated_python(architecture), "-m", "qdeploy.board", "selftest", package)
    assert "self-test passed: 7 frames" in said
    assert "(not the board: " in said
