# SPDX-License-Identifier: Apache-2.0
"""Image data sets in the files of their publishers, under the folder that QDEPLOY_DATA names."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError

Images = NDArray[np.uint8]
Split = tuple[Images, NDArray[np.int64], Images, NDArray[np.int64]]

_CIFAR_RECORD = 1 + 3 * 32 * 32  # class, then red, green and blue planes


def data_folder(name: str, source: str) -> Path:
    """The folder of a data set.

    Raises:
        UserError: if QDEPLOY_DATA is not set or has no such folder.
    """
    root = os.environ.get("QDEPLOY_DATA")
    if not root or not (Path(root) / name).is_dir():
        where = f"{root} has no folder '{name}'" if root else "QDEPLOY_DATA is not set"
        raise UserError(
            f"data set '{name}' is not here: {where}",
            remedy=f"download {source} into a folder '{name}' and set QDEPLOY_DATA to the folder "
            "that holds it",
        )
    return Path(root) / name


def mnist_like(folder: Path) -> Split:
    """MNIST, Fashion-MNIST: 60,000 and 10,000 grey images [N, 1, 28, 28] and their classes.

    Raises:
        UserError: if a file is missing or damaged.
    """
    parts: list[NDArray[np.uint8]] = []
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        parts.append(_idx(folder / f"{part}-images-idx3-ubyte.gz", (count, 28, 28)))
        parts.append(_idx(folder / f"{part}-labels-idx1-ubyte.gz", (count,)))
    x_train, y_train, x_test, y_test = parts
    return x_train[:, None], y_train.astype(np.int64), x_test[:, None], y_test.astype(np.int64)


def cifar10(folder: Path) -> Split:
    """CIFAR-10: colour images [N, 3, 32, 32] and their classes, 10,000 of them for test.

    From the publisher's binary version (data_batch_1.bin .. test_batch.bin, 50,000 for training),
    or from cifar10_20k.npz with its first 20,000.

    Raises:
        UserError: if a file is missing or damaged.
    """
    small = folder / "cifar10_20k.npz"
    if small.is_file():
        try:
            with np.load(small, allow_pickle=False) as file:
                x_train, y_train, x_test, y_test = (
                    file[name] for name in ("x_train", "y_train", "x_test", "y_test")
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            _reject(small, str(error))
        for x, y in ((x_train, y_train), (x_test, y_test)):
            if x.dtype != np.uint8 or x.shape[1:] != (3, 32, 32) or y.shape != x.shape[:1]:
                _reject(small, f"arrays {x.shape} and {y.shape}")
        return x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64)
    names = [*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin"]
    batches = [_cifar_batch(folder / name) for name in names]
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:5], strict=True))
    return x_train, y_train, *batches[5]


def _cifar_batch(path: Path) -> tuple[Images, NDArray[np.int64]]:
    data = _read(path, 10_000 * _CIFAR_RECORD)
    records = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of an idx file: magic, number of axes, sizes (big endian), then the array."""
    header = 4 + 4 * len(shape)
    data = _read(path, header + int(np.prod(shape)))
    sizes = tuple(np.frombuffer(data[4:header], ">u4").tolist())
    if data[:4] != bytes((0, 0, 8, len(shape))) or sizes != shape:
        _reject(path, f"header {data[:header].hex()}")
    return np.frombuffer(data[header:], np.uint8).reshape(shape)


def _read(path: Path, size: int) -> bytes:
    """A file of known size, unpacked if its name ends with .gz."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(size + 1)
    except (OSError, EOFError) as error:
        _reject(path, str(error))
    if len(data) != size:
        _reject(path, f"not {size} bytes")
    return data


def _reject(path: Path, problem: str) -> NoReturn:
    raise UserError(f"cannot read {path}: {problem}", remedy="download the file again")
