# SPDX-License-Identifier: Apache-2.0
"""Graphs of branches, pools and rearrangements compute what the numpy reference computes."""

from fractions import Fraction

import numpy as np
import pytest
from exact_check import assert_exact, operators
from hypothesis import given, settings
from random_graphs import graphs
from random_networks import inputs, one_node_network
from sample_networks import branching_network

from qdeploy.errors import UserError
from qdeploy.integer import (
    Add,
    ArgMax,
    Builder,
    Concat,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Meaning,
    Pad,
    Plane,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Transpose,
    Upsample,
    ValueRange,
    Weights,
)

X = {"name": "node", "input": "x", "output": "y"}


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_random_graphs_equal_the_reference(network: IntegerNetwork) -> None:
    assert_exact(network, inputs(network, 3), fast=False)


def test_a_residual_network_equals_the_reference() -> None:
    network = branching_network()
    assert_exact(network, inputs(network, 40))
    assert_exact(network, inputs(network, 0))


def network_of(builder: Builder) -> IntegerNetwork:
    x = next(iter(builder.tensors.values()))
    boundaries = np.arange(1, x.range.high - x.range.low + 1, dtype=np.float32)
    return builder.network(
        name="n",
        quantizer=InputQuantizer(boundaries, x.range.low),
        input_name="image",
        output_name="y",
    )


@pytest.mark.parametrize("codes", [ValueRange(-9, -1), ValueRange(2**24, 2**24 + 8)])
@pytest.mark.parametrize(
    "node",
    [
        MaxPool(kernel=(3, 2), strides=(2, 1), pads=(2, 1, 1, 0), **X),
        SumPool(kernel=(2, 3), strides=(1, 2), pads=(3, 0, 1, 2), **X),
        SumPool(kernel=(5, 4), strides=(1, 1), **X),
        Pad(pads=(1, 0, 2, 3), **X),
        Pad(pads=(1, 0, 2, 3), pad_code=-(2**25) - 1, **X),
        Upsample(factors=(3, 2), **X),
        MaxPool(kernel=(2, 2), strides=(1, 1), dilations=(3, 2), **X),
        Slice(starts=(0, 1, 0), stops=(2, 5, 4), steps=(1, 2, 3), **X),
        ArgMax(**X),
        Reshape(shape=(8, 5), **X),
        Transpose(order=(2, 0, 1), **X),
        Concat(others=("x", "x"), **X),
        Add(multipliers=(-7,), **X),
        Add(others=("x", "x"), multipliers=(2**20 + 1, 0, -1), **X),
    ],
    ids=lambda node: node.kind,
)
def test_one_operator(node, codes: ValueRange) -> None:
    """On codes that float32 holds and on some that it does not, and on no image at all."""
    network = one_node_network(node, (2, 5, 4), codes)
    rng = np.random.default_rng(0)
    for images in (10, 0):
        assert_exact(network, rng.integers(0, 9, (images, 2, 5, 4)))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_zeros_around_a_maximum_may_win(kernel: tuple[int, int]) -> None:
    """ONNX Runtime joins Pad and MaxPool, where the padding never wins."""
    builder = Builder()
    builder.input("x", (2, 4, 4), ValueRange(-9, -1), Fraction(1))
    builder.add(Pad(name="pad", input="x", output="pad", pads=(1, 2, 1, 0)))
    builder.add(MaxPool(name="pool", input="pad", output="pool", kernel=kernel, strides=(1, 1)))
    network = network_of(builder)
    assert_exact(network, np.random.default_rng(0).integers(0, 9, (3, 2, 4, 4)))


def test_rows_before_a_linear_layer_stay_rows() -> None:
    """ONNX Runtime takes a Transpose in front of Gemm for that of a matrix, whatever its order.

    Where the output depends on it, another of its optimisations comes first and removes it.
    """
    builder = Builder()
    builder.input("x", (1, 1, 2), ValueRange(0, 3), Fraction(1))
    builder.add(Flatten(name="flatten", input="x", output="flatten"))
    builder.add(Transpose(name="rows", input="flatten", output="rows", order=(0,)))
    weights = Weights((Plane(np.ones((1, 2), np.int8), np.full((1, 1), 130)),))
    builder.add(Linear(name="fc", input="rows", output="fc", weights=weights))
    builder.add(Reshape(name="output", input="x", output="output", shape=(2, 1, 1)))
    assert_exact(network_of(builder), np.random.default_rng(0).integers(0, 4, (3, 1, 1, 2)))


@pytest.mark.parametrize("rearranged", [False, True])
def test_convolutions_that_take_the_sum_in(rearranged: bool) -> None:
    """Fused, the multiplied weights' sums pass 2^24, although neither branch nor sum reaches it."""
    rng = np.random.default_rng(0)
    builder = Builder()
    builder.input("x", (64, 4, 4), ValueRange(900, 1023), Fraction(1))
    signs = np.repeat(np.array([1, -1], np.int8), 32)[np.newaxis, :, np.newaxis, np.newaxis]
    multipliers = rng.integers(120, 128, (8, 64, 1, 1))
    for name in ("a", "b"):
        weights = Weights((Plane(signs.repeat(8, axis=0), multipliers),))
        builder.add(Convolution(name=name, input="x", output=name, weights=weights))
        if rearranged:
            moved = {"name": f"{name}.moved", "input": name, "output": f"{name}.moved"}
            builder.add(Transpose(order=(0, 2, 1), **moved))
    a, b = (f"{name}.moved" if rearranged else name for name in ("a", "b"))
    node = Add(name="sum", input=a, others=(b,), output="sum", multipliers=(1, 7))
    y = builder.add(node)
    assert y.range.high < 2**24
    if rearranged:  # and back, so that ONNX Runtime drops both
        builder.add(Transpose(name="back", input="sum", output="back", order=(0, 2, 1)))
    network = network_of(builder)
    assert_exact(network, rng.integers(0, 124, (20, 64, 4, 4)))
    assert operators(network)["Sum"]


def test_average_over_many_wide_integers() -> None:
    """Each window's sum passes 2^24."""
    node = SumPool(kernel=(8, 8), strides=(8, 8), **X)
    network = one_node_network(node, (3, 16, 16), ValueRange(-1000, 2**19))
    assert network.output_tensor.range.high > 2**24
    assert_exact(network, np.random.default_rng(0).integers(0, 2**19, (2, 3, 16, 16)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scale_per_index_of_any_axis(axis: int) -> None:
    builder = Builder()
    x = builder.input("x", (2, 3, 4), ValueRange(0, 8), Fraction(1))
    builder.add(Flatten(name="flatten", input="x", output="flatten"))
    builder.add(Reshape(name="back", input="flatten", output="back", shape=x.shape))
    entries = range(1, x.shape[axis] + 1)
    scale = tuple(Fraction(n, 3) for n in entries)
    builder.set_meaning("back", Meaning(scale, tuple(Fraction(-n, 7) for n in entries), axis))
    assert_exact(network_of(builder), np.random.default_rng(0).integers(0, 9, (5, 2, 3, 4)))


def test_sums_of_branches_beyond_float64_are_refused() -> None:
    """They cancel in the end, but not on the way."""
    builder = Builder()
    builder.input("x", (2,), ValueRange(0, 1), Fraction(1))
    multipliers = (2**52, 2**52, -(2**52), -(2**52))
    node = Add(name="sum", input="x", others=("x",) * 3, output="sum", multipliers=multipliers)
    builder.nodes.append(node)
    builder.tensors["sum"] = Tensor("sum", (2,), ValueRange(0, 0))
    with pytest.raises(UserError, match=r"layer 'sum'.*9007199254740992"):
        operators(network_of(builder))
