# SPDX-License-Identifier: Apache-2.0
"""Pools, joins and rearrangements of the numpy reference against plain loops over positions."""

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_networks import branching_network, input_quantizer

from qdeploy.errors import UserError
from qdeploy.integer import (
    Add,
    Builder,
    Concat,
    Flatten,
    MaxPool,
    Meaning,
    Node,
    Pad,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Transpose,
    Upsample,
    ValueRange,
    run_codes,
)
from qdeploy.integer.reference import evaluate

X = {"name": "node", "input": "x", "output": "y"}
SEEDS = st.integers(0, 2**32 - 1)
PADS = st.tuples(*[st.integers(0, 2)] * 4)
CODES = ValueRange(-7, -2)


def codes(seed: int, *shape: int) -> np.ndarray:
    """Negative ones, so that a padding of zeros would win every maximum."""
    rng = np.random.default_rng(seed)
    return rng.integers(CODES.low, CODES.high + 1, shape)


def window(
    node: MaxPool | SumPool, x: np.ndarray, n: int, c: int, row: int, column: int
) -> Iterator[int]:
    """The values under one window that are no padding."""
    for ky, kx in itertools.product(*map(range, node.kernel)):
        y = row * node.strides[0] + ky - node.pads[0]
        z = column * node.strides[1] + kx - node.pads[1]
        if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
            yield int(x[n, c, y, z])


def promised(node: Node, *shapes: tuple[int, ...]) -> Tensor:
    """What the builder says about the output of `node` on inputs of `shapes` and range CODES."""
    builder = Builder()
    for name, shape in zip(node.inputs, shapes, strict=True):
        builder.input(name, shape, CODES, Fraction(1))
    return builder.add(node)


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=PADS,
)
@pytest.mark.parametrize("kind", [MaxPool, SumPool])
def test_pools_equal_loops(kind, seed, kernel, strides, pads):
    if kind is MaxPool:  # a window of nothing but padding has no maximum
        pads = tuple(min(p, k - 1) for p, k in zip(pads, (*kernel, *kernel), strict=True))
    x = codes(seed, 2, 3, 5, 4)
    node = kind(kernel=kernel, strides=strides, pads=pads, **X)
    y = evaluate(node, x)
    height = (5 + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
    width = (4 + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
    expected = np.zeros((2, 3, height, width), np.int64)
    for position in itertools.product(*map(range, expected.shape)):
        expected[position] = (max if kind is MaxPool else sum)(window(node, x, *position))
    assert np.array_equal(y, expected)
    tensor = promised(node, x.shape[1:])
    assert tensor.shape == y.shape[1:]
    assert tensor.range.low <= y.min()
    assert y.max() <= tensor.range.high


@pytest.mark.parametrize(
    ("pads", "expected"), [((0, 0, 0, 0), (-42, -12)), ((1, 0, 0, 0), (-42, 0))]
)
def test_range_of_sums_counts_padding(pads, expected):
    """Two by three values of -7..-2; a window at the border holds fewer."""
    node = SumPool(kernel=(2, 3), strides=(1, 1), pads=pads, **X)
    assert promised(node, (1, 4, 4)).range == ValueRange(*expected)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.lists(st.sampled_from([-300, -2, -1, 0, 1, 3, 2**20]), min_size=1, max_size=4))
def test_add_equals_loops(seed, multipliers):
    inputs = [codes(seed + index, 2, 2, 3) for index in range(len(multipliers))]
    others = tuple(f"x{index}" for index in range(1, len(inputs)))
    node = Add(others=others, multipliers=tuple(multipliers), **X)
    y = evaluate(node, *inputs)
    for position in itertools.product(*map(range, y.shape)):
        terms = [m * int(x[position]) for m, x in zip(multipliers, inputs, strict=True)]
        assert y[position] == sum(terms)
    ends = [sum(c) for c in itertools.product(*[(m * -7, m * -2) for m in multipliers])]
    tensor = promised(node, *[(2, 3)] * len(inputs))
    assert tensor.range == ValueRange(min(ends), max(ends))


def test_concat_puts_channels_behind_each_other():
    parts = [codes(seed, 2, channels, 3) for seed, channels in enumerate((2, 1, 4))]
    node = Concat(others=("b", "c"), **X)
    y = evaluate(node, *parts)
    for n, k in itertools.product(range(2), range(3)):
        assert [v for part in parts for v in part[n, :, k]] == y[n, :, k].tolist()
    builder = Builder()
    for name, channels, values in (("x", 2, (0, 3)), ("b", 1, (-5, 0)), ("c", 4, (1, 9))):
        builder.input(name, (channels, 3), ValueRange(*values), Fraction(1))
    tensor = builder.add(node)
    assert tensor.shape == (7, 3)
    assert tensor.range == ValueRange(-5, 9)


@settings(max_examples=25, deadline=None)
@given(SEEDS, PADS, st.integers(-9, 9))
def test_pad_equals_loops(seed, pads, code):
    x = codes(seed, 2, 2, 3, 4)
    node = Pad(pads=pads, pad_code=code, **X)
    y = evaluate(node, x)
    top, left, bottom, right = pads
    assert y.shape == (2, 2, 3 + top + bottom, 4 + left + right)
    for n, c, row, column in itertools.product(*map(range, y.shape)):
        inside = 0 <= row - top < 3 and 0 <= column - left < 4
        assert y[n, c, row, column] == (x[n, c, row - top, column - left] if inside else code)
    tensor = promised(node, x.shape[1:])
    assert tensor.shape == y.shape[1:]
    assert tensor.range == ValueRange(min(-7, code), max(-2, code))


@pytest.mark.parametrize("factors", [(1, 1), (2, 3), (3, 1)])
def test_upsample_repeats(factors):
    x = codes(0, 2, 2, 3, 4)
    node = Upsample(factors=factors, **X)
    y = evaluate(node, x)
    assert y.shape[1:] == promised(node, x.shape[1:]).shape == (2, 3 * factors[0], 4 * factors[1])
    for n, c, row, column in itertools.product(*map(range, y.shape)):
        assert y[n, c, row, column] == x[n, c, row // factors[0], column // factors[1]]


@pytest.mark.parametrize(
    ("starts", "stops", "steps"),
    [((0, 1, 0), (2, 3, 4), (1, 1, 3)), ((1, 0, 3), (2, 3, 4), (1, 2, 1))],
)
def test_slice_takes_a_part(starts, stops, steps):
    x = codes(4, 2, 2, 3, 4)
    node = Slice(starts=starts, stops=stops, steps=steps, **X)
    y = evaluate(node, x)
    assert y.shape[1:] == promised(node, x.shape[1:]).shape
    for n, *position in itertools.product(*map(range, y.shape)):
        source = (s + p * d for s, p, d in zip(starts, position, steps, strict=True))
        assert y[(n, *position)] == x[(n, *source)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_transpose_moves_axes(order):
    x = codes(1, 2, 2, 3, 4)
    node = Transpose(order=order, **X)
    y = evaluate(node, x)
    assert promised(node, x.shape[1:]).shape == y.shape[1:]
    for n, *position in itertools.product(*map(range, x.shape)):
        assert y[(n, *(position[axis] for axis in order))] == x[(n, *position)]


@pytest.mark.parametrize("shape", [(24,), (4, 6), (3, 2, 4), (1, 24, 1)])
def test_reshape_keeps_the_order(shape):
    x = codes(2, 3, 2, 3, 4)
    node = Flatten(**X) if shape == (24,) else Reshape(shape=shape, **X)
    y = evaluate(node, x)
    assert y.shape == (3, *shape)
    assert promised(node, x.shape[1:]).shape == shape
    for n in range(3):
        assert list(y[n].flat) == list(x[n].flat)
    assert evaluate(node, x[:0]).shape == (0, *shape)


@pytest.mark.parametrize(
    "node",
    [
        MaxPool(kernel=(6, 1), strides=(1, 1), **X),
        SumPool(kernel=(1, 1), strides=(0, 1), **X),
        SumPool(kernel=(1, 1), strides=(1, 1), pads=(0, -1, 0, 0), **X),
        Pad(pads=(0, 0, -1, 0), **X),
        Upsample(factors=(0, 2), **X),
        Reshape(shape=(5, 5), **X),
        Slice(starts=(0, 0, 0), stops=(2, 4, 4), steps=(1, 1, 1), **X),
        Slice(starts=(0, 2, 0), stops=(2, 2, 4), steps=(1, 1, 1), **X),
        Slice(starts=(0, 0, 0), stops=(2, 3, 4), steps=(1, 0, 1), **X),
        Slice(starts=(0, 0), stops=(2, 3), steps=(1, 1), **X),
        MaxPool(kernel=(1, 2), strides=(1, 1), dilations=(1, 4), **X),
        MaxPool(kernel=(2, 2), strides=(1, 1), dilations=(1, 2), pads=(1, 0, 0, 0), **X),
        Transpose(order=(0, 1, 1), **X),
        Add(others=("small",), multipliers=(1, 1), **X),
        Concat(others=("small",), **X),
    ],
    ids=lambda node: node.kind,
)
def test_builder_refuses_what_does_not_fit(node):
    builder = Builder()
    builder.input("x", (2, 3, 4), CODES, Fraction(1))
    builder.input("small", (2, 3, 1), CODES, Fraction(1))
    with pytest.raises(UserError, match=r"layer 'node': .* do not fit .*\(2, 3, 4\)"):
        builder.add(node)


def test_every_tensor_of_a_branching_network_stays_in_its_range():
    network = branching_network()
    x = network.input_tensor
    rng = np.random.default_rng(0)
    values = run_codes(network, rng.integers(x.range.low, x.range.high + 1, (20, *x.shape)))
    assert set(values) == set(network.tensors)
    assert len(np.unique(values[network.output])) > 20


def test_real_output_scales_along_its_axis():
    builder = Builder()
    builder.input("x", (2, 3), ValueRange(0, 8), Fraction(1))
    builder.add(Transpose(order=(1, 0), **X))
    builder.set_meaning("y", Meaning((Fraction(1, 2), Fraction(3)), (Fraction(0), Fraction(-1)), 1))
    network = builder.network(
        name="n", quantizer=input_quantizer(9), input_name="i", output_name="o"
    )
    integers = np.arange(6).reshape(1, 3, 2)
    expected = [[[0.0, 2.0], [1.0, 8.0], [2.0, 14.0]]]
    assert np.array_equal(network.real_output(integers), expected)
