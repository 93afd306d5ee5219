# SPDX-License-Identifier: Apache-2.0
"""Sums of products on integers times units, against plain sums of Fractions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx_files import QonnxFile

from qdeploy.rational import Executor

# Float32 from 2^-100 to 2^100: their common unit leaves int64 far behind.
numbers = st.one_of(
    st.integers(-8, 8).map(float),
    st.floats(-1, 1, width=32),
    st.builds(lambda m, e: float(np.ldexp(m, e)), st.integers(-9, 9), st.integers(-100, 100)),
)


def arrays(*shape: int) -> st.SearchStrategy[np.ndarray]:
    size = int(np.prod(shape))
    return st.lists(numbers, min_size=size, max_size=size).map(
        lambda values: np.array(values, np.float32).reshape(shape)
    )


def fractions(array: np.ndarray) -> np.ndarray:
    return np.array([Fraction(float(v)) for v in array.ravel()], object).reshape(array.shape)


@settings(max_examples=60, deadline=None)
@given(arrays(2, 5), arrays(5, 3))
def test_mat_mul(x, w):
    f = QonnxFile((2, 5))
    result = Executor(f.model(f.node("MatMul", "x", f.constant(w)), rank=3)).run(x)
    assert (result[0] == fractions(x) @ fractions(w)).all()


@settings(max_examples=60, deadline=None)
@given(arrays(4, 6, 5), arrays(6, 2, 3, 2), arrays(6), st.integers(1, 2), st.integers(0, 2))
def test_grouped_convolution(x, w, bias, stride, pad):
    f = QonnxFile((4, 6, 5))
    y = f.node(
        "Conv", "x", f.constant(w), f.constant(bias), group=2, strides=[stride, 1],
        pads=[pad, 0, 1, 2],
    )  # fmt: skip
    result = Executor(f.model(y, rank=4)).run(x)[0]
    padded = np.full((4, 7 + pad, 7), Fraction(0), object)
    padded[:, pad : pad + 6, :5] = fractions(x)
    weights, biases = fractions(w), fractions(bias)
    for o, i, j in itertools.product(*map(range, result.shape)):
        group = o // 3
        window = padded[2 * group : 2 * group + 2, stride * i : stride * i + 3, j : j + 2]
        assert result[o, i, j] == (window * weights[o]).sum() + biases[o]
    assert result.shape == (6, (7 + pad - 3) // stride + 1, 6)


@pytest.mark.parametrize("limit", [2.0**31, 2.0**40])
def test_sums_beyond_int64(limit):
    f = QonnxFile((3,))
    x = np.array([limit, limit - 2**20, 1], np.float32)
    y = f.node("MatMul", "x", f.constant(np.array([[limit], [-limit], [1]])))
    (value,) = Executor(f.model(y)).run(x)[0]
    assert value == int(limit) * 2**20 + 1
