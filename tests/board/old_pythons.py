# SPDX-License-Identifier: Apache-2.0
"""Interpreters of the versions that boards have, those of pyenv among them, with numpy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from qdeploy.files import atomic_directory

PROJECT = Path(__file__).parents[2]
# Of Python's versions that boards have, the newest numpy that each runs.
NUMPY = {"3.8": "1.24.4", "3.9": "2.0.2", "3.10": "1.21.5", "3.11": "1.26.4", "3.12": "2.2.6"}


@cache
def interpreter(version: str) -> Path:
    """Python of a version; the test is skipped where there is none."""
    installed = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    for program in (*map(str, installed), shutil.which(f"python{version}")):
        if program and _is(program, version):
            return Path(program)
    pytest.skip(f"there is no Python {version} here")


def _is(program: str, version: str) -> bool:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.startswith(f"Python {version}.")


@cache
def numpy_folder(version: str) -> Path:
    """Folder of a numpy for a Python, which pip fills if it is not there."""
    folder = PROJECT / ".cache" / f"numpy-{NUMPY[version]}-python{version}"
    if not folder.is_dir():
        with atomic_directory(folder) as partial:
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
            command += ["install", "--no-deps", "--only-binary=:all:", "--target", str(partial)]
            command += ["--python-version", version, "--ignore-requires-python"]
            command += [f"numpy=={NUMPY[version]}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"pip cannot get numpy for Python {version}: {done.stderr.strip()}")
    return folder
