# SPDX-License-Identifier: Apache-2.0
"""The numpy reference against plain loops, and the range analysis against attained extremes."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_networks import random_weights, small_cnn

from qdeploy.errors import InternalError, UserError
from qdeploy.integer import (
    Builder,
    Convolution,
    Linear,
    MaxPool,
    Plane,
    Threshold,
    ValueRange,
    Weights,
    accumulator_bounds,
    run,
    run_codes,
)
from qdeploy.integer.reference import evaluate


def convolution_by_loops(node: Convolution, x: np.ndarray) -> np.ndarray:
    weights = node.weights.integers()
    outputs, channels, kernel_height, kernel_width = weights.shape
    top, left, bottom, right = node.pads
    padded = np.full(
        (len(x), x.shape[1], x.shape[2] + top + bottom, x.shape[3] + left + right), node.pad_code
    )
    padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    height = (padded.shape[2] - (kernel_height - 1) * node.dilations[0] - 1) // node.strides[0] + 1
    width = (padded.shape[3] - (kernel_width - 1) * node.dilations[1] - 1) // node.strides[1] + 1
    y = np.zeros((len(x), outputs, height, width), np.int64)
    for n, o, row, column in itertools.product(*map(range, y.shape)):
        first = o // (outputs // node.groups) * channels
        for c, ky, kx in itertools.product(
            range(channels), range(kernel_height), range(kernel_width)
        ):
            value = padded[
                n,
                first + c,
                row * node.strides[0] + ky * node.dilations[0],
                column * node.strides[1] + kx * node.dilations[1],
            ]
            y[n, o, row, column] += weights[o, c, ky, kx] * value
    return y


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    groups=st.sampled_from([1, 2]),
    granularity=st.sampled_from(["layer", "row", "pixel"]),
)
def test_convolution_equals_loops(seed, kernel, strides, dilations, pads, groups, granularity):
    rng = np.random.default_rng(seed)
    node = Convolution(
        name="c",
        input="x",
        output="c",
        weights=random_weights(rng, (4, 2, *kernel), "ternary", granularity),
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
        pad_code=int(rng.integers(-2, 3)),
    )
    x = rng.integers(-4, 5, (2, 2 * groups, 6, 7))
    assert np.array_equal(evaluate(node, x), convolution_by_loops(node, x))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), low=st.integers(-5, 2), width=st.integers(0, 6))
def test_accumulator_bounds_are_attained(seed, low, width):
    rng = np.random.default_rng(seed)
    weights = Weights(
        (
            Plane(rng.integers(-1, 2, (3, 4)).astype(np.int8), rng.integers(0, 9, (1, 4))),
            Plane(rng.choice([-1, 1], (3, 4)).astype(np.int8), rng.integers(0, 9, (3, 1))),
        )
    )
    node = Linear(name="l", input="x", output="l", weights=weights)
    lowest, highest = accumulator_bounds(node, ValueRange(low, low + width))
    corners = np.array(list(itertools.product([low, low + width], repeat=4)))
    sums = evaluate(node, corners)
    assert np.array_equal(sums.min(axis=0), lowest)
    assert np.array_equal(sums.max(axis=0), highest)


def test_threshold_counts_per_channel_with_base_and_step():
    node = Threshold(
        name="t",
        input="x",
        output="t",
        thresholds=np.array([[-1, 2, 2], [0, 1, 5]]),
        base=np.array([-2, 7]),
        step=np.array([2, -1]),
    )
    x = np.arange(-3, 7).reshape(1, 1, 10).repeat(2, axis=1)
    expected = [
        [-2 + 2 * sum(v >= t for t in (-1, 2, 2)) for v in range(-3, 7)],
        [7 - sum(v >= t for t in (0, 1, 5)) for v in range(-3, 7)],
    ]
    assert np.array_equal(evaluate(node, x), [expected])


def test_max_pool_drops_incomplete_windows():
    x = np.arange(25).reshape(1, 1, 5, 5)
    node = MaxPool(name="p", input="x", output="p", kernel=(2, 3), strides=(2, 2))
    assert np.array_equal(evaluate(node, x), [[[[7, 9], [17, 19]]]])


def test_run_checks_every_promised_range():
    network = small_cnn()
    codes = np.full((1, *network.input_tensor.shape), 10**6)
    with pytest.raises(InternalError, match="promised"):
        run_codes(network, codes)


def test_input_shape_errors_name_the_expected_shape():
    with pytest.raises(UserError, match=r"\('N', 1, 8, 8\)"):
        run(small_cnn(), np.zeros((3, 8, 9)))
    with pytest.raises(UserError, match="NaN"):
        run(small_cnn(), np.full((1, 1, 8, 8), np.nan))


def test_a_single_sample_gets_a_batch_axis():
    network = small_cnn()
    x = np.random.default_rng(0).random((1, 8, 8))
    assert np.array_equal(run(network, x), run(network, x[np.newaxis]))


def test_builder_refuses_shapes_and_accumulators_that_cannot_be():
    builder = Builder()
    builder.input("x", (3,), ValueRange(0, 255), Fraction(1))
    wide = Weights((Plane(np.ones((2, 4), np.int8), np.ones((1, 1), np.int64)),))
    with pytest.raises(UserError, match=r"layer 'fc': weights \(2, 4\) do not fit"):
        builder.add(Linear(name="fc", input="x", output="fc", weights=wide))
    huge = Weights((Plane(np.ones((2, 3), np.int8), np.full((1, 1), 1 << 40)),))
    with pytest.raises(UserError, match="accumulator needs 50 bits"):
        builder.add(Linear(name="fc", input="x", output="fc", weights=huge))


def test_no_samples_give_no_outputs():
    assert run(small_cnn(), np.zeros((0, 1, 8, 8))).shape == (0, 10)
