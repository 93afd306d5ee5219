# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from awkward_network import awkward_network
from sample_networks import input_quantizer, random_threshold, random_weights, small_cnn, small_mlp

from qdeploy.errors import UserError
from qdeploy.fpga.mappable import obstacles
from qdeploy.fpga.mapping import map_network
from qdeploy.integer import (
    Add,
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Node,
    Pad,
    Plane,
    Reshape,
    Slice,
    Tensor,
    Transpose,
    ValueRange,
    Weights,
)

RNG = np.random.default_rng(0)


def convolution(x: Tensor, weights: Weights, **settings: object) -> Node:
    return Convolution(name="bad", input=x.name, output="y", weights=weights, **settings)


def huge_sums(x: Tensor) -> Node:
    weights = Plane(np.ones((1, 4, 3, 3), np.int8), np.full((1, 1, 1, 1), 1 << 16))
    return convolution(x, Weights((weights,)))


def several_bases(x: Tensor) -> Node:
    return replace(random_threshold(RNG, "bad", x, 2), base=np.array([0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: convolution(
                x, random_weights(RNG, (4, 4, 3, 3)), pads=(1, 1, 1, 1), pad_code=-1
            ),
            "code -1",
        ),
        (
            lambda x: Pad(name="bad", input=x.name, output="y", pads=(1,) * 4, pad_code=32),
            "code 32",
        ),
        (huge_sums, "2\\^24"),
        (several_bases, "different codes"),
        (
            lambda x: MaxPool(name="bad", input=x.name, output="y", kernel=(2, 2), strides=(2, 3)),
            "skips pixels",
        ),
        (lambda x: Flatten(name="bad", input=x.name, output="y"), "order"),
        (lambda x: ArgMax(name="bad", input=x.name, output="y"), "arg-max over"),
    ],
)
def test_each_limit_is_said_by_layer_before_mapping(
    make: Callable[[Tensor], Node], message: str
) -> None:
    builder = Builder()
    x = builder.input("x", (4, 8, 8), ValueRange(0, 16), Fraction(1))
    builder.add(make(x))
    network = builder.network(
        name="n", quantizer=input_quantizer(17), input_name="i", output_name="o"
    )
    with pytest.raises(UserError, match=message) as caught:
        map_network(network)
    assert caught.value.layer == "bad"
    assert caught.value.remedy
    assert [str(error) for error in obstacles(network)] == [str(caught.value)]


def test_a_stream_that_leaves_is_read_by_nobody_else() -> None:
    builder = Builder()
    x = builder.input("x", (4,), ValueRange(0, 3), Fraction(1))
    x = builder.add(Linear(name="a", input="x", output="a", weights=random_weights(RNG, (4, 4))))
    builder.add(random_threshold(RNG, "b", x, 2))
    names = {"name": "sum", "input": "b", "output": "sum"}
    builder.add(Add(others=("a",), multipliers=(1, 1), **names))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="i", output_name="o"
    )
    errors = obstacles(replace(network, output="a"))
    assert [error.layer for error in errors] == ["b", "sum"]
    assert all("also the output" in str(error) for error in errors)
    assert obstacles(network) == []


def test_a_negative_scale_needs_accumulators_of_its_own() -> None:
    builder = Builder()
    x = builder.input("x", (4,), ValueRange(0, 3), Fraction(1))
    x = builder.add(Linear(name="a", input="x", output="a", weights=random_weights(RNG, (4, 4))))
    builder.add(replace(random_threshold(RNG, "b", x, 2), step=np.array([-1])))
    names = {"name": "sum", "input": "b", "output": "sum"}
    builder.add(Add(others=("a",), multipliers=(1, 1), **names))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="i", output_name="o"
    )
    (error,) = obstacles(network)
    assert error.layer == "b"
    assert "nothing else reads" in str(error)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda names: Slice(starts=(0, 0, 0), stops=(4, 8, 4), steps=(1, 1, 1), **names),
            "Slice",
        ),
        (lambda names: Reshape(shape=(8, 8, 4), **names), "Reshape"),
        (lambda names: Transpose(order=(1, 2, 0), **names), "Transpose"),
    ],
)
def test_operators_of_the_cpu_alone(make: Callable[[dict[str, object]], Node], reason: str) -> None:
    """The layer in front may be anything, even what the FPGA could not do either."""
    builder = Builder()
    x = builder.input("x", (4, 8, 8), ValueRange(0, 16), Fraction(1))
    x = builder.add(replace(random_threshold(RNG, "act", x, 2), step=np.array([-1])))
    builder.add(make({"name": "bad", "input": x.name, "output": "y"}))
    network = builder.network(
        name="n", quantizer=input_quantizer(17), input_name="i", output_name="o"
    )
    with pytest.raises(
        UserError, match=f"layer 'bad': there is no hardware for {reason}"
    ) as caught:
        map_network(network)
    assert "runs on the CPU" in caught.value.remedy
    assert "FPGA back end does not have it yet" in caught.value.remedy


def test_ordinary_networks_have_no_obstacle() -> None:
    for network in (small_cnn(), small_mlp(), awkward_network()):
        assert obstacles(network) == []
