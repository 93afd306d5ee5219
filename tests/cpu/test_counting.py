# SPDX-License-Identifier: Apache-2.0
"""Thresholds that kernels count by a straight line."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_runs import assert_exact
from sample_networks import input_quantizer

from qdeploy.cpu.kernels.counting import FRACTION_BITS, Comparisons, Line
from qdeploy.cpu.kernels.targets import AVX512, host_targets
from qdeploy.cpu.parts import whole
from qdeploy.cpu.program.counting import lines_through
from qdeploy.cpu.program.planning import plan
from qdeploy.integer import (
    Builder,
    Convolution,
    IntegerNetwork,
    Plane,
    Threshold,
    ValueRange,
    Weights,
)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([1, 8, 15, 255]),
    distance=st.sampled_from([0.3, 1.0, 1.7, 3.0, 9.0, 40.0, 2.0**22]),
    jitter=st.sampled_from([0, 0, 1, 5]),
    late=st.integers(0, 1),
)
def test_a_line_is_exact_or_one_too_low(seed, count, distance, jitter, late):
    """For every integer near a threshold or an end of the range."""
    rng = np.random.default_rng(seed)
    first, step = rng.uniform(-2500, 2500, 3), distance * rng.uniform(0.7, 1.3, 3)
    thresholds = np.ceil(first[:, np.newaxis] + step[:, np.newaxis] * np.arange(count)).astype(int)
    thresholds = np.sort(thresholds + rng.integers(-jitter, jitter + 1, thresholds.shape), axis=1)
    low = int(rng.integers(-4000, 1000))
    codes = ValueRange(low, low + int(rng.choice([1, 300, 5000, 2**31 - 1 + 4000])))
    thresholds = np.clip(thresholds, codes.low, codes.high + 1)
    lines = lines_through(thresholds, codes, late)
    if jitter == 0 and min(step) > 2 and max(step) < 2**20:
        assert lines is not None
    if lines is None:
        return
    near = thresholds[:, :, np.newaxis] + np.arange(-3, 4)
    x = np.hstack([near.reshape(3, -1), np.tile([codes.low, codes.high], (3, 1))])
    x = np.clip(x, codes.low, codes.high)
    for k, row in enumerate(thresholds):
        place = np.clip(x[k], lines.first[k], lines.last[k]) - lines.first[k]
        guess = place * lines.slope[k] + lines.shift[k] >> FRACTION_BITS
        missing = np.searchsorted(row, x[k], side="right") - guess
        assert set(missing.tolist()) <= {0, late}


def network_of(thresholds: np.ndarray, weights: int) -> IntegerNetwork:
    """Sums of products with random weights of up to `weights`, then a count per channel."""
    rng = np.random.default_rng(0)
    builder = Builder()
    builder.input("x", (16, 5, 5), ValueRange(0, 15), Fraction(1))
    codes = rng.integers(-weights, weights + 1, (len(thresholds), 16, 1, 1)).astype(np.int8)
    plane = Plane(codes, np.ones((1, 1, 1, 1), np.int64))
    builder.add(Convolution(name="conv", input="x", output="conv", weights=Weights((plane,))))
    base = step = np.ones(1, np.int64)
    builder.add(
        Threshold(
            name="act", input="conv", output="act", thresholds=thresholds, base=base, step=step
        )
    )
    return builder.network(
        name="count", quantizer=input_quantizer(16), input_name="image", output_name="levels"
    )


CHANNELS = 70
INDEX = np.arange(255)
# A quotient that is rounded up, and down, at every second half.
HALVES = 8 * INDEX - 1000 + INDEX % 2


@pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)
@pytest.mark.parametrize(
    ("row", "weights", "kind"),
    [
        (np.ceil(7.31 * INDEX - 900).astype(int), 127, Line(0)),
        (np.ceil(1.9 * INDEX - 230).astype(int), 1, Line(0)),
        (HALVES, 127, Line(255)),
        (-np.sort(INDEX**2 // 30)[::-1], 127, Comparisons(255)),
    ],
    ids=["exact", "of table lookups", "one too low", "none"],
)
def test_sums_become_levels(row, weights, kind, target):
    thresholds = row + np.arange(CHANNELS)[:, np.newaxis]
    network = network_of(thresholds, weights)
    if target is AVX512:
        assert plan(whole(network), target).steps[0].finish.counting == kind
    x = np.random.default_rng(1).random((3, *network.input_tensor.shape), np.float32)
    assert_exact(network, target, 16 * x)
