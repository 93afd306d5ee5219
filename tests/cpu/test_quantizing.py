# SPDX-License-Identifier: Apache-2.0
"""Reals to levels, as kernels compute them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_runs import assert_exact

from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.program.boundaries import exact_line
from qdeploy.integer import (
    Add,
    Builder,
    Convolution,
    InputQuantizer,
    IntegerNetwork,
    Plane,
    ValueRange,
    Weights,
)

PLAIN = [1 / 128, 2.0, 1 / 127, 0.01]


def rounded(scale: float, low: int, count: int) -> np.ndarray:
    """Least float32 whose quotient is nearer to code low + 1, + 2 ...; halves go to even codes."""
    codes = low + np.arange(1, count + 1)
    halves = [Fraction(2 * int(code) - 1, 2) * Fraction(scale) for code in codes]
    boundaries = np.array([np.float32(float(half)) for half in halves])
    for k, half in enumerate(halves):
        reached = Fraction(float(boundaries[k]))
        if reached < half or (reached == half and codes[k] % 2):
            boundaries[k] = np.nextafter(boundaries[k], np.float32(np.inf))
    return boundaries


def near(boundaries: np.ndarray) -> np.ndarray:
    """The boundaries, their neighbours, what lies between them and the ends of all float32."""
    infinity = np.float32(np.inf)
    beside = [np.nextafter(boundaries, -infinity), np.nextafter(boundaries, infinity)]
    between = (boundaries[1:] + boundaries[:-1]) / 2
    ends = np.array([-infinity, -1e-40, -0.0, 0.0, 1e-40, infinity], np.float32)
    return np.concatenate([boundaries, *beside, between, ends])


@settings(max_examples=60, deadline=None)
@given(
    scale=st.one_of(st.sampled_from(PLAIN), st.floats(2.0**-20, 2.0**20, width=32)),
    low=st.sampled_from([0, -128, -127, -7]),
    count=st.sampled_from([5, 15, 255]),
)
def test_lines_give_every_number(scale, low, count):
    boundaries = rounded(scale, low, count)
    line = exact_line(boundaries)
    if line is None:
        assert scale not in PLAIN  # odd numbers have halves that are float32, and no line for them
        return
    x = near(boundaries)
    with np.errstate(over="ignore"):
        found = np.rint(np.clip(x.astype(np.float64) * line.slope + line.shift, -1, count))
    found = np.clip(found + line.addend, 0, count)
    assert np.array_equal(found, np.searchsorted(boundaries, x, side="right"))


def test_no_line_where_denormal_numbers_matter():
    """Processors may take them for zero."""
    assert exact_line(np.arange(-9, 9).astype(np.float32)) is None
    assert exact_line(np.float32(1e-40) + np.arange(9, dtype=np.float32)) is None


def network_of(
    boundaries: np.ndarray, low: int, shape: tuple[int, int, int], weights: list[int]
) -> IntegerNetwork:
    """The codes themselves, or sums of products with weights, which read them packed."""
    builder = Builder()
    count = len(boundaries)
    builder.input("x", shape, ValueRange(low, low + count), Fraction(1))
    if weights:
        codes = np.random.default_rng(0).choice(weights, (9, shape[0], 1, 1)).astype(np.int8)
        plane = Plane(codes, np.ones((1, 1, 1, 1), np.int64))
        builder.add(Convolution(name="n", input="x", output="n", weights=Weights((plane,))))
    else:
        builder.add(Add(name="n", input="x", others=("x",), output="n", multipliers=(1, 1)))
    quantizer = InputQuantizer(boundaries, low)
    return builder.network(name="q", quantizer=quantizer, input_name="image", output_name="y")


@pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)
@pytest.mark.parametrize(
    "boundaries",
    [
        rounded(1 / 128, -127, 255),
        rounded(0.3, -1, 3),
        np.arange(-128, 127).astype(np.float32),
        (np.arange(1, 100) ** 1.7).astype(np.float32),
    ],
    ids=["halves to even", "few", "zero is one", "at any distance"],
)
@pytest.mark.parametrize(
    ("shape", "weights"),
    [((3, 3, 37), []), ((70, 2, 5), []), ((64, 2, 70), [-1, 1]), ((150, 1, 1), [-1, 0, 1])],
    ids=["colors", "channels", "packed channels", "a vector"],
)
def test_reals_become_levels(shape, weights, boundaries, target):
    low = -127 if len(boundaries) > 4 else -1
    network = network_of(boundaries, low, shape, weights)
    values = near(boundaries)
    x = np.resize(np.random.default_rng(0).permutation(values), (2, *shape))
    assert_exact(network, target, x.astype(np.float32))
