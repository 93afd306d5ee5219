# SPDX-License-Identifier: Apache-2.0
"""Stages: functions from files to files whose results are kept under the hash of what made them.

A stage's folder is named by the hash of its inputs, options, and the code and packages that run it.
A folder that exists is complete: it is written under another name and renamed at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdeploy.files import atomic_directory, atomic_file, content_hash

PACKAGE = Path(__file__).parent
# In each stage's folder: how long it took. Not among the inputs of other stages.
RECORD = "stage.json"


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: what the user sees ("lower").
        run: writes its results into the empty folder it is given.
        inputs: files or folders the results depend on.
        options: JSON-like values the results depend on.
        code: modules and subpackages of qdeploy that compute the results ("lowering").
        packages: installed packages whose version matters ("torch").
    """

    name: str
    run: Callable[[Path], None]
    inputs: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Hash of everything the results depend on."""
        parts = {
            "options": self.options,
            "inputs": [content_hash(path) for path in self.inputs],
            "code": [content_hash(code_path(name)) for name in self.code],
            "packages": [_version(package) for package in self.packages],
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Outcome:
    """Where a stage's results are, how long they took, and whether they were there before."""

    directory: Path
    seconds: float
    reused: bool


class StageStore:
    """The stages of one build folder; `build.json` in it names the latest of each."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def run(self, stage: Stage) -> Outcome:
        """Run `stage` unless its results are there; interruption leaves nothing half-finished."""
        target = self.directory / "stages" / f"{stage.name}-{stage.key}"
        reused = target.is_dir()
        if not reused:
            started = time.monotonic()
            with atomic_directory(target) as partial:
                stage.run(partial)
                record = {"stage": stage.name, "seconds": time.monotonic() - started}
                (partial / RECORD).write_text(json.dumps(record) + "\n")
        self._record(stage.name, target)
        seconds = json.loads((target / RECORD).read_text())["seconds"]
        return Outcome(target, seconds, reused)

    def latest(self) -> dict[str, Path]:
        """Folder of the latest finished run of each stage, by stage name."""
        try:
            names = json.loads((self.directory / "build.json").read_text())
        except (OSError, ValueError):
            return {}
        return {stage: self.directory / "stages" / name for stage, name in names.items()}

    def forget(self, name: str) -> None:
        """Let the build have no such stage; its results stay for a run that asks for them."""
        if name in self.latest():
            self._change(lambda names: names.pop(name, None))

    def _record(self, name: str, target: Path) -> None:
        self._change(lambda names: names.update({name: target.name}))

    def _change(self, edit: Callable[[dict[str, str]], object]) -> None:
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # another process may build here too
            names = {stage: path.name for stage, path in self.latest().items()}
            edit(names)
            with atomic_file(self.directory / "build.json") as partial:
                partial.write_text(json.dumps(names, indent=2) + "\n")
        finally:
            os.close(folder)


def code_path(name: str) -> Path:
    """The file or folder of a module or subpackage of qdeploy ("lowering")."""
    path = PACKAGE.joinpath(*name.split("."))
    return path if path.is_dir() else path.with_suffix(".py")


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} missing"
