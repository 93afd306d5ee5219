# SPDX-License-Identifier: Apache-2.0
"""Data sets with a fixed split, as float32 inputs in the units the networks take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError
from qdeploy.training import image_files
from qdeploy.training.text import load_text, windows


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and classes.

    Attributes:
        x_train: training inputs [N, C, H, W], float32; of a text, tokens [N, T], int64.
        y_train: their classes [N], int64; of a text, the tokens that follow, [N, T].
        x_test: test inputs, never trained on.
        y_test: their classes.
        class_names: what class 0, 1, ... is called.
        shift: pixels by which an image may move without changing its class.
        mirrored: whether an image may be mirrored, left to right.
    """

    x_train: NDArray[np.float32] | NDArray[np.int64]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32] | NDArray[np.int64]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]
    shift: int
    mirrored: bool = False


STEPS = 50  # of a sequence


def load(name: str, samples: int | None = None) -> Dataset:
    """A data set by name, or its first `samples` training inputs with all test inputs.

    Raises:
        UserError: if there is none of that name, or its files are missing or damaged.
    """
    if name not in _LOADERS:
        raise UserError(f"no data set '{name}'", remedy=f"choose one of {', '.join(_LOADERS)}")
    data = _LOADERS[name]()
    return replace(data, x_train=data.x_train[:samples], y_train=data.y_train[:samples])


def _digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits: 8x8 pixels, 17 grey levels as n/16; 360 for test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)[:, np.newaxis]
    y = digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=360, stratify=y, random_state=0
    )
    names = tuple(str(name) for name in digits.target_names)
    return Dataset(x_train, y_train, x_test, y_test, names, shift=1)


def _mnist() -> Dataset:
    """28x28 pixels in 0 .. 1; 60,000 for training, 10,000 for test."""
    files = image_files.data_folder("mnist", "the four .gz files of yann.lecun.com/exdb/mnist")
    return _images(image_files.mnist_like(files), tuple("0123456789"), shift=2)


def _fashion_mnist() -> Dataset:
    """As MNIST: pictures of clothes."""
    source = "the four .gz files of github.com/zalandoresearch/fashion-mnist"
    split = image_files.mnist_like(image_files.data_folder("fashion-mnist", source))
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker")
    return _images(split, (*names, "bag", "boot"), shift=2, mirrored=True)


def _cifar10() -> Dataset:
    """32x32 colour pixels in 0 .. 1."""
    source = "the binary version of www.cs.toronto.edu/~kriz/cifar.html, unpacked,"
    split = image_files.cifar10(image_files.data_folder("cifar10", source))
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship")
    return _images(split, (*names, "truck"), shift=4, mirrored=True)


def _images(
    split: image_files.Split, names: tuple[str, ...], shift: int, mirrored: bool = False
) -> Dataset:
    x_train, y_train, x_test, y_test = split
    train, test = (x.astype(np.float32) / np.float32(255) for x in (x_train, x_test))
    return Dataset(train, y_train, test, y_test, names, shift, mirrored)


def _text(name: str) -> Dataset:
    """Sequences of characters, and of those that follow each; at most 1,000 for test."""
    text = load_text(name)
    x_train, y_train = windows(text.train, STEPS)
    x_test, y_test = (part[:1000] for part in windows(text.test, STEPS))
    return Dataset(x_train, y_train, x_test, y_test, text.vocabulary, shift=0)


_LOADERS: dict[str, Callable[[], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "phrases": partial(_text, "phrases"),
    "warpeace": partial(_text, "warpeace"),
}
