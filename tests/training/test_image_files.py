# SPDX-License-Identifier: Apache-2.0
"""Image data sets in their publishers' files: made ones, and the real ones where they are."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import UserError
from qdeploy.training import datasets, image_files


def cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60_000, 3072), dtype=np.uint8)
    y = rng.integers(0, 10, 60_000, dtype=np.uint8)
    records = np.concatenate([y[:, None], x], axis=1)
    names = [*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, np.split(records, 6), strict=True):
        (folder / name).write_bytes(part.tobytes())
    return x.reshape(-1, 3, 32, 32), y


def test_cifar_in_the_binary_version(tmp_path):
    x, y = cifar(tmp_path)
    x_train, y_train, x_test, y_test = image_files.cifar10(tmp_path)
    assert np.array_equal(np.concatenate([x_train, x_test]), x)
    assert np.array_equal(np.concatenate([y_train, y_test]), y)
    assert len(x_test) == 10_000
    (tmp_path / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(UserError, match=r"test_batch\.bin: not 30730000 bytes"):
        image_files.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "cannot read"),
        (gzip.compress(b"\0\0\x08\x03"), "not 47040016 bytes"),
        (gzip.compress(bytes(47_040_016)), "header 0000"),
    ],
    ids=["no gzip", "short", "zeros"],
)
def test_damaged_files(content, message, tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        image_files.mnist_like(tmp_path)


def test_missing_data(tmp_path, monkeypatch):
    monkeypatch.delenv("QDEPLOY_DATA", raising=False)
    with pytest.raises(UserError, match=r"QDEPLOY_DATA is not set\n.*download"):
        datasets.load("mnist")
    monkeypatch.setenv("QDEPLOY_DATA", str(tmp_path))
    with pytest.raises(UserError, match="has no folder 'cifar10'"):
        datasets.load("cifar10")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_images(name):
    if not (Path(os.environ.get("QDEPLOY_DATA", "")) / name).is_dir():
        pytest.skip(f"QDEPLOY_DATA names no folder with '{name}'")
    data = datasets.load(name, samples=1000)
    assert data.x_train.shape == (1000, 1, 28, 28)
    assert data.x_test.shape == (10_000, 1, 28, 28)
    assert data.x_test.min() == 0
    assert data.x_test.max() == 1
    assert np.bincount(data.y_test).tolist()[0] == {"mnist": 980, "fashion-mnist": 1000}[name]
