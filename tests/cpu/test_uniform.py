# SPDX-License-Identifier: Apache-2.0
"""Thresholds that a straight line guesses."""

import numpy as np
import pytest
from exact_check import assert_exact, operators
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import one_node_network

from qdeploy.cpu.portable.uniform import boundary_line, line_through
from qdeploy.integer import IntegerNetwork, Threshold, ValueRange


def network_of(thresholds: np.ndarray, codes: ValueRange, step: int = 1) -> IntegerNetwork:
    node = Threshold(
        name="act",
        input="x",
        output="y",
        thresholds=thresholds,
        base=np.zeros(1, np.int64),
        step=np.full(1, step),
    )
    return one_node_network(node, (len(thresholds), 40), codes)


def uniform(first: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """Smallest integers that reach first + k · distance, for each row."""
    return np.ceil(first[:, np.newaxis] + distance[:, np.newaxis] * np.arange(count)).astype(int)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([1, 8, 15, 255]),
    distance=st.sampled_from([0.3, 1.0, 1.7, 3.0, 9.0, 40.0]),
    jitter=st.sampled_from([0, 0, 1, 5]),
    origin=st.sampled_from([0, 0, -3000, 2**23, -(2**24) + 6000, 2**40]),
    clipped=st.booleans(),
)
def test_a_line_is_exact_or_one_too_low(seed, count, distance, jitter, origin, clipped):
    """For every integer of the range, as float32 or float64 computes it."""
    rng = np.random.default_rng(seed)
    low = origin + int(rng.integers(-2000, 1000))
    codes = ValueRange(low, low + int(rng.integers(1, 5000)))
    dtype = np.float64 if origin == 2**40 else np.float32
    first = origin + rng.uniform(-2500, 2500, 3)
    thresholds = uniform(first, distance * rng.uniform(0.7, 1.3, 3), count)
    thresholds = np.sort(thresholds + rng.integers(-jitter, jitter + 1, thresholds.shape), axis=1)
    if clipped:
        thresholds = np.clip(thresholds, codes.low, codes.high + 1)
    line = line_through(thresholds, codes, dtype)
    if line is None:
        return
    x = np.arange(codes.low, codes.high + 1)
    for row, slope, shift in zip(thresholds, line.slope, line.shift, strict=True):
        guess = np.floor(np.clip(x.astype(dtype) * slope + shift, 0, count - 1))
        late = np.searchsorted(row, x, side="right") - guess
        assert set(late.tolist()) <= {0, 1}


@pytest.mark.parametrize("count", [8, 15, 255])
@pytest.mark.parametrize("origin", [-5000, 2**24])
def test_guessed_thresholds_equal_the_reference(count: int, origin: int) -> None:
    """On every integer of the range, with rows that begin below it and end above it."""
    codes = ValueRange(origin, origin + 7999)
    first = origin + np.array([-900.0, 0.5, 3000.3, 7950.0, 9000.0])
    distance = np.array([7700.7, 3000.0, 5011.0, 3100.0, 4000.0]) / count
    network = network_of(uniform(first, distance, count), codes, step=-2)
    assert operators(network)["GreaterOrEqual"] == 2  # here and in the input quantizer
    images = np.arange(8000).reshape(-1, 1, 40).repeat(5, axis=1)
    assert_exact(network, images)


def test_one_row_for_all_channels() -> None:
    codes = ValueRange(0, 999)
    node = Threshold(
        name="act",
        input="x",
        output="y",
        thresholds=np.arange(20, 980, 30)[np.newaxis],
        base=np.zeros(1, np.int64),
        step=np.ones(1, np.int64),
    )
    network = one_node_network(node, (4, 10), codes)
    assert operators(network)["Clip"] == 2  # here and in the input quantizer
    assert_exact(network, np.arange(1000).reshape(25, 4, 10))


def test_uneven_thresholds_are_searched() -> None:
    codes = ValueRange(0, 999)
    even = np.arange(20, 980, 30)[np.newaxis]
    uneven = np.sort(np.concatenate([even[:, :16], even[:, :16] + 1], axis=1), axis=1)
    assert line_through(even, codes, np.float32) is not None
    assert line_through(uneven, codes, np.float32) is None
    network = network_of(uneven, codes)
    assert operators(network)["Clip"] == 1  # in the input quantizer
    assert_exact(network, np.arange(1000).reshape(25, 1, 40))


def test_a_line_that_float32_cannot_draw_is_refused() -> None:
    """Far from zero, float32 rounds the product by more than the distance of the thresholds."""
    codes = ValueRange(2**24 - 2000, 2**24 - 1)
    thresholds = np.arange(2**24 - 1900, 2**24 - 100, 2)[np.newaxis]
    assert line_through(thresholds, codes, np.float32) is None
    assert line_through(thresholds, codes, np.float64) is not None


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([2, 3, 15, 255, 4095]),
    scale=st.sampled_from([1e-30, 0.01, 1 / 255, 1.0, 3e7, 1e37]),
    origin=st.sampled_from([0.0, -128.0, 1e4, -3e-20]),
    jitter=st.sampled_from([0.0, 0.0, 0.1, 1.0]),
)
def test_a_line_through_float_boundaries(seed, count, scale, origin, jitter):
    """At, below, above and between the boundaries, as float32 computes it."""
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        even = scale * (origin + 0.5 + np.arange(count) + jitter * rng.uniform(-1, 1, count))
        boundaries = np.sort(even.astype(np.float32))
    line = boundary_line(boundaries)
    if line is None:
        return
    infinity = np.float32(np.inf)
    neighbours = [np.nextafter(boundaries, -infinity), np.nextafter(boundaries, infinity)]
    between = np.float32(rng.uniform(boundaries[0] - scale, boundaries[-1] + scale, 2000))
    ends = np.array([-infinity, 0.0, infinity], np.float32)
    x = np.concatenate([boundaries, *neighbours, between, ends])
    with np.errstate(over="ignore", invalid="ignore"):
        guess = np.floor(np.clip(x * line.slope + line.shift, 0, count - 1))
    late = np.searchsorted(boundaries, x, side="right") - guess
    assert set(late.tolist()) <= {0, 1}


@pytest.mark.parametrize("levels", [3, 16, 255, 256])
def test_lines_are_found_for_plain_images(levels: int) -> None:
    boundaries = ((np.arange(1, levels) - 0.5) / (levels - 1)).astype(np.float32)
    assert boundary_line(boundaries) is not None
