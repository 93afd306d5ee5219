# SPDX-License-Identifier: Apache-2.0
"""Compiled programs in the user's cache folder, under a hash of all they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

import llvmlite
import numpy as np

import qdeploy.cpu
from qdeploy.cpu.custom_op.glue import Signature
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.lstm.sequences import compile_sequences
from qdeploy.cpu.parts import Part
from qdeploy.cpu.program.boundary import Argument
from qdeploy.cpu.program.compiled import CompiledProgram, compile_program
from qdeploy.cpu.program.planning import NoKernel
from qdeploy.files import atomic_file, cache_folder

_PARTS = ("code", "constants", "blank")


def cached_program(
    read: Callable[[], Sequence[Part]], index: int, content: bytes, target: Target
) -> CompiledProgram | NoKernel:
    """The program of a part for `target`, compiled if the cache does not hold it, or why not.

    Args:
        read: gives all parts of a network.
        index: of the part.
        content: what they are read from.
        target: a processor.
    """
    digest = hashlib.sha256(content)
    for part in (str(index), _generator(), target.name, target.triple, target.cpu, target.features):
        digest.update(part.encode() + b"\0")
    try:
        folder = cache_folder("programs")
    except OSError:  # a home that cannot be written
        return _compiled(read()[index], target)
    path = folder / f"{digest.hexdigest()}.npz"
    found: CompiledProgram | NoKernel | None = _read(path)
    if found is None:
        found = _compiled(read()[index], target)
        if isinstance(found, CompiledProgram):
            _write(path, found)
    return found


def _compiled(part: Part, target: Target) -> CompiledProgram | NoKernel:
    try:
        return (compile_sequences if part.lstm else compile_program)(part, target)
    except NoKernel as why:
        return why


@cache
def _generator() -> str:
    """Hash of what generates programs: LLVM and our own sources."""
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(Path(qdeploy.cpu.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> CompiledProgram | None:
    """What was written to `path`; None if there is nothing to be read, or not by us alone.

    It is machine code that will run.
    """
    try:
        about = path.stat()
        if about.st_uid != os.getuid() or about.st_mode & 0o022:
            return None
        with np.load(path, allow_pickle=False) as archive:
            parts = {name: archive[name].tobytes() for name in _PARTS}
            fields = json.loads(archive["signature"].tobytes())
        path.touch()  # what is used stays longest
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    for key in ("inputs", "outputs"):
        fields[key] = tuple(Argument(part["type"], tuple(part["shape"])) for part in fields[key])
    return CompiledProgram(**parts, signature=Signature(**fields))


def _write(path: Path, program: CompiledProgram) -> None:
    """Keep `program`; a disk that is full is no error."""
    arrays = {name: np.frombuffer(getattr(program, name), np.uint8) for name in _PARTS}
    text = json.dumps(asdict(program.signature)).encode()
    arrays["signature"] = np.frombuffer(text, np.uint8)
    with suppress(OSError), atomic_file(path) as partial:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        partial.chmod(0o600)
