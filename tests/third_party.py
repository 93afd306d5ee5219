# SPDX-License-Identifier: Apache-2.0
"""Data sets and models outside the project; tests skip, and say so, where they are absent."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest


def data_directory() -> Path:
    directory = os.environ.get("QDEPLOY_DATA")
    if not directory or not Path(directory).is_dir():
        pytest.skip("QDEPLOY_DATA names no folder with the data sets")
    return Path(directory)


def models_directory() -> Path:
    directory = data_directory().parent / "models"
    if not directory.is_dir():
        pytest.skip("no folder 'models' beside QDEPLOY_DATA")
    return directory


def mnist_test() -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [10000, 1, 28, 28] in 0..1 and labels [10000]."""
    images, labels = (
        _idx(data_directory() / "mnist" / f"t10k-{name}-ubyte.gz")
        for name in ("images-idx3", "labels-idx1")
    )
    return images[:, np.newaxis].astype(np.float32) / np.float32(255), labels


def _idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
