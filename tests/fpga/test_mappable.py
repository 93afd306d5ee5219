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
    Concat,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Node,
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
        (lambda x: convolution(x, random_weights(RNG, (4, 1, 3, 3)), groups=4), "4 groups"),
        (
            lambda x: convolution(
                x, random_weights(RNG, (4, 4, 3, 3)), pads=(1, 1, 1, 1), pad_code=3
            ),
            "code 3",
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


def test_a_branch_is_refused() -> None:
    builder = Builder()
    x = builder.input("x", (4,), ValueRange(0, 3), Fraction(1))
    x = builder.add(Linear(name="a", input="x", output="a", weights=random_weights(RNG, (4, 4))))
    for name in ("b", "c"):
        builder.add(random_threshold(RNG, name, x, 2))
    names = {"name": "sum", "input": "b", "output": "sum"}
    builder.add(Add(others=("c",), multipliers=(1, 1), **names))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="i", output_name="o"
    )
    errors = {error.layer: error for error in obstacles(network)}
    assert set(errors) == {"sum", "a"}
    assert "2 layers read" in str(errors["a"])


def test_a_branch_from_the_input_is_refused() -> None:
    builder = Builder()
    x = builder.input("x", (4,), ValueRange(0, 3), Fraction(1))
    for name in ("a", "b"):
        builder.add(random_threshold(RNG, name, x, 2))
    names = {"name": "sum", "input": "a", "output": "sum"}
    builder.add(Add(others=("b",), multipliers=(1, 1), **names))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="i", output_name="o"
    )
    errors = {error.layer: error for error in obstacles(network)}
    assert list(errors) == ["sum", "a"]
    assert "no hardware for Add" in str(errors["sum"])
    assert "2 layers read the input" in str(errors["a"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda names: SumPool(kernel=(2, 2), strides=(2, 2), **names), "SumPool"),
        (lambda names: Add(multipliers=(2,), **names), "Add"),
        (lambda names: Concat(**names), "Concat"),
        (lambda names: Pad(pads=(1, 1, 1, 1), **names), "Pad"),
        (lambda names: Upsample(factors=(2, 2), **names), "Upsample"),
        (
            lambda names: Slice(starts=(0, 0, 0), stops=(4, 8, 4), steps=(1, 1, 1), **names),
            "Slice",
        ),
        (lambda names: Reshape(shape=(8, 8, 4), **names), "Reshape"),
        (lambda names: Transpose(order=(1, 2, 0), **names), "Transpose"),
        (
            lambda names: MaxPool(kernel=(2, 2), strides=(2, 2), pads=(0, 0, 1, 0), **names),
            "MaxPool with padding \\(0, 0, 1, 0\\)",
        ),
        (
            lambda names: MaxPool(kernel=(2, 2), strides=(1, 1), dilations=(2, 1), **names),
            "MaxPool with dilation \\(2, 1\\)",
        ),
    ],
)
def test_operators_of_the_cpu_alone(make: Callable[[dict[str, object]], Node], reason: str) -> None:
    """The layer in front may be anything, even what the FPGA could not do either."""
    builder = Builder()
    x = builder.input("x", (4, 8, 8), ValueRange(0, 16), Fraction(1))
    x = builder.add(replace(random_threshold(RNG, "act", x, 2), step=np.array([-1])))
    node = make({"name": "bad", "input": x.name, "output": "y"})
    builder.add(replace(node, others=("act",)) if reason == "Concat" else node)
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
