# SPDX-License-Identifier: Apache-2.0
"""Files and folders that appear complete or not at all, and hashes of their contents."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from qdeploy.errors import UserError

PACKAGE = Path(__file__).parent
CACHE_DAYS = 30  # cached files that were not used for so long are deleted


def shipped_folder(name: str) -> Path:
    """A folder of data: beside the package in a checkout, inside it in an installed wheel."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def cache_folder(name: str) -> Path:
    """The user's folder of cached `name`, without what is out of use."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "qdeploy" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _delete_unused(folder)
    return folder


def cached_file(folder: str, name: str, make: Callable[[Path], object]) -> Path:
    """A file of the user's cache folder, which `make` writes if it is not there.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        path = cache_folder(folder) / name
        if not path.exists():
            with atomic_file(path) as partial:
                make(partial)
        path.touch()
    except OSError as error:
        raise UserError(
            f"cannot write to the cache folder: {error}",
            remedy="make room on the disk, or name another folder in XDG_CACHE_HOME",
        ) from error
    return path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if the block succeeds."""
    path = Path(path)
    _make_parent(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; rename it to `path` if the block succeeds.

    An older folder of that name is replaced. Folders that killed processes left are removed.
    """
    path = Path(path)
    _make_parent(path)
    remove_abandoned(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.is_dir():
            old = path.with_name(f".{path.name}.old.{os.getpid()}")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(directory: Path) -> None:
    """Delete temporary files and folders whose process is gone."""
    for entry in directory.glob(".*.*"):
        owner = entry.name.rsplit(".", maxsplit=1)[-1]
        if owner.isdigit() and not _alive(int(owner)):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def link(target: Path, path: Path) -> None:
    """Let `path` be a relative symbolic link to `target`, replacing an older link at once."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(os.path.relpath(target, path.parent))
    partial.replace(path)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


@cache
def _delete_unused(folder: Path) -> None:
    """Once per process: to look at thousands of cached files takes longer than to use one."""
    oldest = time.time() - CACHE_DAYS * 24 * 3600
    for file in folder.iterdir():
        with suppress(OSError):  # another process deletes it too
            if file.stat().st_mtime < oldest:
                file.unlink()


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {path.parent}: {error.strerror}", remedy="choose another output path"
        ) from error


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
