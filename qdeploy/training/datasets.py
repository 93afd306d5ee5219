# SPDX-License-Identifier: Apache-2.0
"""Data sets with a fixed split, as float32 inputs in the units the networks take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.errors import UserError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and classes.

    Attributes:
        x_train: training inputs [N, C, H, W], float32.
        y_train: their classes [N], int64.
        x_test: test inputs, never trained on.
        y_test: their classes.
        class_names: what class 0, 1, ... is called.
        shift: pixels by which an image may move without changing its class.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]
    shift: int


def load(name: str) -> Dataset:
    """A data set by name.

    Raises:
        UserError: if there is none of that name.
    """
    if name not in _LOADERS:
        raise UserError(f"no data set '{name}'", remedy=f"choose one of {', '.join(_LOADERS)}")
    return _LOADERS[name]()


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


_LOADERS: dict[str, Callable[[], Dataset]] = {"digits": _digits}
