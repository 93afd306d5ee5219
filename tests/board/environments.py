# SPDX-License-Identifier: Apache-2.0
"""Other Pythons for tests: made once, kept in the project's `.cache`."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qdeploy.files import atomic_directory

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
# Of Python's versions that boards have, the oldest numpy that is tried, else the newest.
NUMPY = {
    "3.8": "numpy==1.17.3",
    "3.9": "numpy",
    "3.10": "numpy==1.21.6",
    "3.11": "numpy",
    "3.12": "numpy",
}
EMULATORS = {"armhf": "qemu-arm", "arm64": "qemu-aarch64"}


def python(version: str, *packages: str) -> Path:
    """An interpreter of Python `version` that has `packages`."""
    name = "-".join(["python", version, *packages]).replace("==", "-").replace("<", "-below-")

    def make(folder: Path) -> None:
        _run(_interpreter(version), "-m", "venv", str(folder))
        pip = (str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check")
        _run(*pip, "install", "--quiet", *packages)

    return _kept(name, make) / "bin" / "python"


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made if it is not there; others who want it wait."""
    folder = PROJECT / ".cache" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with atomic_directory(folder) as partial:
                make(partial)
    return folder


def _interpreter(version: str) -> str:
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(versions.glob(f"{version}.*/bin/python"))
    path = str(found[-1]) if found else shutil.which(f"python{version}")
    if path is None:
        pytest.skip(f"there is no Python {version}")
    return path


def emulated_python(architecture: str) -> list[str]:
    """The command of a Debian Python of another architecture that has numpy, in an emulator.

    Files below its folder are found at their usual places too; nothing is mounted, nobody need be
    root but to make it.
    """
    emulator = shutil.which(EMULATORS[architecture])
    if emulator is None:
        pytest.skip(f"there is no {EMULATORS[architecture]} (Debian: qemu-user)")

    def make(folder: Path) -> None:
        if shutil.which("mmdebstrap") is None or os.geteuid():
            pytest.skip("Debian for ARM takes mmdebstrap and root, once")
        _run(
            *("mmdebstrap", "--quiet", "--variant=extract", "--skip=check/qemu"),
            *(f"--architectures={architecture}", "--include=python3,python3-numpy"),
            *("--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none"),
            *("bookworm", str(folder / "root"), "http://deb.debian.org/debian"),
        )

    root = _kept(f"debian-{architecture}", make) / "root"
    (libraries,) = (path.parent for path in root.glob("usr/lib/*/blas"))
    paths = ":".join(str(libraries / name) for name in ("blas", "lapack", "."))
    interpreter = str(root / "usr/bin/python3.11")
    return [emulator, "-L", str(root), "-E", f"LD_LIBRARY_PATH={paths}", interpreter]


def run(*command: str) -> str:
    """Standard output of a Python that finds qdeploy and these tests."""
    path = f"{PROJECT}:{TESTS / 'board'}"
    environment = {"PYTHONPATH": path, "HOME": os.environ["HOME"], "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"{command[0]} failed: {last}")
