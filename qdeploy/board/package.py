# SPDX-License-Identifier: Apache-2.0
"""Packages (`.qdp`): a network in one file, of which nothing is used before all of it is checked.

A package is a zip archive of plain files, not compressed, `manifest.json` first. Its comment is
the SHA-256 of all bytes before the comment, so that a change anywhere is found.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.board.fields import check_name, damaged
from qdeploy.board.manifest import Board, File, Manifest, Network, Stream, Streams, read_manifest
from qdeploy.errors import UserError

if TYPE_CHECKING:  # the numpy of older boards has no types
    from numpy.typing import NDArray

__all__ = ["Board", "File", "Manifest", "Network", "Package", "Stream", "Streams", "open_package"]

MANIFEST = "manifest.json"
MODE = stat.S_IFREG | 0o644  # of every file
UNIX = 3  # the system that files are from
SEAL = "sha256:"  # in front of the digits of the comment
MAX_BYTES = 1 << 29  # of all files, and of the package
MAX_FILES = 4096
_MAX_MANIFEST = 1 << 20
_MAX_DIRECTORY = 1 << 20
_SEALED = len(SEAL) + 64
_END = struct.Struct("<4s4H2LH")  # the archive's last record, in front of the comment
_LOCATOR = 20  # bytes of the record in front of that in archives of more than 4 GiB
_CHUNK = 1 << 20
_ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '(<f4|<f8|<i8)', 'fortran_order': False, "
    rb"'shape': \(((?:[0-9]{1,12},? ?){0,9})\), \} *\n",
    re.DOTALL,
)


def open_package(path: Path | str) -> Package:
    """Open a package after checking all of it.

    Raises:
        UserError: if it is missing, no package, of another format, or damaged.
    """
    path = Path(path)
    try:
        _check_seal(path)
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            _check_listing(files)
            manifest = read_manifest(_contents(archive, files[0]))
            _check_files(manifest, files[1:])
            for name, file in manifest.files.items():
                _check_digest(name, _contents(archive, archive.getinfo(name)), file)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}", remedy="check the path"
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error) as error:
        raise damaged(f"{path.name} is no zip archive: {error}") from error
    package = Package(path, manifest)
    _check_arrays(package)
    return package


class Package:
    """A checked package; see `open_package`.

    Attributes:
        path: of the file.
        manifest: what it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    def __contains__(self, name: object) -> bool:
        return name in self.manifest.files

    def read(self, name: str) -> bytes:
        """The contents of a file.

        Raises:
            UserError: if there is no such file, or the package was changed since it was opened.
        """
        if name not in self:
            raise UserError(
                f"{self.path} holds no {name}",
                remedy="package a build that made it ('qdeploy package')",
            )
        file = self.manifest.files[name]
        try:
            with zipfile.ZipFile(self.path) as archive:
                information = archive.getinfo(name)
                if information.file_size != file.bytes:
                    raise damaged(f"{name} was changed")
                content = _contents(archive, information)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
            raise damaged(f"{self.path} was changed: {error}") from error
        _check_digest(name, content, file)
        return content

    def array(self, name: str) -> NDArray[Any]:
        """The array of an .npy file: float32, float64 or int64.

        Raises:
            UserError: as `read`, or if the file holds something else.
        """
        content = self.read(name)
        header = _ARRAY.match(content)
        if not header or header.end() != 10 + int.from_bytes(content[8:10], "little"):
            raise damaged(f"{name} is no array")
        kind = np.dtype(header[1].decode())
        shape = tuple(int(size) for size in re.findall(rb"[0-9]+", header[2]))
        if prod(shape) * kind.itemsize != len(content) - header.end():
            raise damaged(f"{name} has not the size of its shape {shape}")
        return np.frombuffer(content, kind, offset=header.end()).reshape(shape)

    def extract(self, folder: Path, names: Iterable[str] | None = None) -> Path:
        """Write files into `folder`, which is made and must not hold them.

        Args:
            folder: where they go.
            names: which files; all without it.

        Returns:
            `folder`.

        Raises:
            UserError: as `read`, or if a file cannot be written.
        """
        for name in self.manifest.files if names is None else names:
            content, path = self.read(name), folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    file.write(content)
            except OSError as error:
                raise UserError(
                    f"cannot write {path}: {error.strerror}", remedy="choose another folder"
                ) from error
        return folder


def _check_seal(path: Path) -> None:
    """That the file is an archive whose comment is the hash of all before it."""
    none = f"{path.name} is no package of qdeploy, or was cut off"
    with path.open("rb") as file:
        size = file.seek(0, 2) - _SEALED
        if size < _END.size:
            raise damaged(none)
        if size > MAX_BYTES:
            raise damaged(f"{path.name} has {size:,} bytes, more than {MAX_BYTES:,}")
        file.seek(0)
        digest, left = hashlib.sha256(), size
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise damaged(f"{path.name} became shorter")
            digest.update(chunk)
            left -= len(chunk)
        if file.read() != f"{SEAL}{digest.hexdigest()}".encode():
            raise damaged(f"{path.name} was changed or cut off")
        file.seek(max(0, size - _LOCATOR - _END.size))
        large = file.read(_LOCATOR).startswith(b"PK\6\7")
        file.seek(size - _END.size)
        mark, *_, count, extent, start, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\5\6" or comment != _SEALED or large:
        raise damaged(none)
    if start + extent != size - _END.size or extent > _MAX_DIRECTORY or count > MAX_FILES:
        raise damaged(f"{path.name} has no proper list of its {count:,} files")


def _check_listing(files: list[zipfile.ZipInfo]) -> None:
    """That all files are plain, with good names, each there once, and small enough together."""
    if not files or files[0].filename != MANIFEST or files[0].file_size > _MAX_MANIFEST:
        raise damaged(f"it does not begin with {MANIFEST}")
    names = [file.filename for file in files]
    for file in files:
        check_name(file.filename)
        plain = (MODE << 16, UNIX, 0, b"", b"")
        said = (file.external_attr, file.create_system, file.flag_bits, file.extra, file.comment)
        if said != plain:
            raise damaged(f"{file.filename} is no plain file")
        if file.compress_type != zipfile.ZIP_STORED or file.compress_size != file.file_size:
            raise damaged(f"{file.filename} is compressed")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise damaged(f"{twice} is there more than once")
    folders = {str(folder) for name in names for folder in Path(name).parents}
    for name in folders.intersection(names):
        raise damaged(f"{name} is a file and a folder")
    total = sum(file.file_size for file in files)
    if total > MAX_BYTES:
        raise damaged(f"its files have {total:,} bytes, more than {MAX_BYTES:,}")


def _check_files(manifest: Manifest, files: list[zipfile.ZipInfo]) -> None:
    """That the archive holds the files of the manifest, no more and no less."""
    sizes = {file.filename: file.file_size for file in files}
    for name in sorted(sizes.keys() ^ manifest.files.keys()):
        raise damaged(f"{name} is {'not in the manifest' if name in sizes else 'missing'}")
    for name, file in manifest.files.items():
        if file.bytes != sizes[name]:
            raise damaged(f"{name} has {sizes[name]:,} bytes instead of {file.bytes:,}")


def _check_digest(name: str, content: bytes, file: File) -> None:
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise damaged(f"{name} was changed")


def _contents(archive: zipfile.ZipFile, information: zipfile.ZipInfo) -> bytes:
    """The contents of a file."""
    content = archive.read(information)
    if len(content) != information.file_size:
        raise damaged(f"{information.filename} was cut off")
    return content


def _check_arrays(package: Package) -> None:
    """That the arrays of every package are there and fit the network."""
    network = package.manifest.network
    given = package.array("selftest/input.npy")
    frames = len(given) if given.ndim else 0
    outputs = (frames, *network.output_shape)
    for name, array, kind, shape in (
        ("selftest/input.npy", given, np.float32, (frames, *network.input_shape)),
        ("selftest/integers.npy", package.array("selftest/integers.npy"), np.int64, outputs),
        ("selftest/output.npy", package.array("selftest/output.npy"), np.float32, outputs),
    ):
        if array.dtype != kind or array.shape != shape or not frames:
            raise damaged(f"{name} holds {array.dtype} {array.shape}, not {kind.__name__} {shape}")
    boundaries = package.array("boundaries.npy")
    if boundaries.dtype != np.float32 or boundaries.ndim != 1:
        raise damaged("boundaries.npy is no list of float32")
    if np.isnan(boundaries).any() or (boundaries[1:] < boundaries[:-1]).any():
        raise damaged("boundaries.npy is not ascending")
    for name in ("scale.npy", "offset.npy"):
        array = package.array(name)
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise damaged(f"{name} holds no finite float64")
        sizes = array.shape[::-1]
        room = network.output_shape[::-1]
        if len(sizes) > len(room) or any(n not in {1, room[k]} for k, n in enumerate(sizes)):
            raise damaged(f"{name} of shape {array.shape} does not fit {network.output_shape}")
