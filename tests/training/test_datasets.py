# SPDX-License-Identifier: Apache-2.0
"""The digits: complete, split once and for all."""

import numpy as np
import pytest

from qdeploy.errors import UserError
from qdeploy.training import datasets


def test_digits():
    digits = datasets.load("digits")
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.x_train.dtype == digits.x_test.dtype == np.float32
    assert digits.y_train.dtype == digits.y_test.dtype == np.int64
    levels = np.unique(digits.x_test * 16)
    assert np.array_equal(levels, np.arange(17))
    assert digits.class_names == tuple("0123456789")


def test_every_image_is_used_once_and_classes_are_balanced():
    from sklearn.datasets import load_digits

    digits = datasets.load("digits")
    images = np.concatenate([digits.x_train, digits.x_test]).reshape(-1, 64) * 16
    originals = load_digits().images.reshape(-1, 64)
    assert np.array_equal(images[np.lexsort(images.T)], originals[np.lexsort(originals.T)])
    counts = np.bincount(digits.y_test)
    assert counts.min() >= 34
    assert counts.max() <= 38


def test_the_split_is_fixed():
    first, second = datasets.load("digits"), datasets.load("digits")
    assert np.array_equal(first.x_test, second.x_test)
    assert first.y_test[:12].tolist() == [7, 6, 3, 7, 7, 3, 2, 8, 9, 3, 2, 6]


def test_unknown_name():
    with pytest.raises(UserError, match="no data set 'mnits'"):
        datasets.load("mnits")
