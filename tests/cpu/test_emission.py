# SPDX-License-Identifier: Apache-2.0
"""Packed models compute what the numpy reference computes, whatever the network."""

from fractions import Fraction

import numpy as np
import pytest
from exact_check import assert_exact, operators
from hypothesis import given, settings
from random_networks import inputs, networks, one_node_network, plane
from sample_networks import input_quantizer, small_cnn, small_mlp

from qdeploy.cpu import to_onnx
from qdeploy.errors import InternalError
from qdeploy.integer import (
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    Meaning,
    Node,
    Threshold,
    ValueRange,
    Weights,
)


@settings(max_examples=150, deadline=None)
@given(networks())
def test_equals_the_reference(network: IntegerNetwork) -> None:
    assert_exact(network, inputs(network, 3), fast=False)


@pytest.mark.parametrize(
    "network",
    [
        small_cnn(),
        small_cnn(codes="binary", granularity="row", activation_bits=5),
        small_cnn(channels=(3, 16, 24), size=16, activation_bits=8),
        small_mlp(),
    ],
)
def test_samples_equal_the_reference(network: IntegerNetwork) -> None:
    assert_exact(network, inputs(network, 20))


@pytest.mark.parametrize("levels", [1, 2, 16, 17, 256, 2**16])
def test_input_levels(levels: int) -> None:
    builder = Builder()
    builder.input("x", (3, 32, 32), ValueRange(0, levels - 1), Fraction(1))
    builder.add(Flatten(name="flatten", input="x", output="flatten"))
    network = builder.network(
        name="n", quantizer=input_quantizer(levels), input_name="image", output_name="codes"
    )
    assert_exact(network, inputs(network, 20))
    # A comparison per level would be too many nodes, an axis of levels too much memory.
    assert operators(network)["GreaterOrEqual"] <= 16


def test_input_boundaries_at_the_ends_of_float32() -> None:
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    boundaries = np.array([-np.inf, -huge, -tiny, 0.0, tiny, huge, np.inf], np.float32)
    for repeats in (1, 3):  # compared one by one, and searched
        builder = Builder()
        builder.input("x", (8,), ValueRange(-4, 50), Fraction(1))
        builder.add(Threshold(
            name="t", input="x", output="t", thresholds=np.arange(-3, 51)[np.newaxis],
            base=np.array([-4]), step=np.array([1]),
        ))  # fmt: skip
        network = builder.network(
            name="n",
            quantizer=InputQuantizer(np.repeat(boundaries, repeats), -4, 2),
            input_name="image",
            output_name="codes",
        )
        values = [-np.inf, -huge, -tiny, -0.0, 0.0, tiny, huge, np.inf]
        assert_exact(network, np.array([values], np.float32))


def test_first_maximum_wins() -> None:
    node = ArgMax(name="argmax", input="x", output="argmax")
    network = one_node_network(node, (40,), ValueRange(-3, 3))
    rng = np.random.default_rng(0)
    assert_exact(network, rng.integers(0, 3, (50, 40)).astype(np.float32))


def test_names_may_clash() -> None:
    """With each other, with names inside the file, and with numbered values."""
    rng = np.random.default_rng(0)
    builder = Builder()
    x = builder.input("x", (4,), ValueRange(0, 3), Fraction(1))
    for name in ("quantize", "radix2", "radix2/expand", "real", "1"):
        weights = Weights((plane(rng, (4, 4), "int3", "channel", bits=2),))
        x = builder.add(Linear(name=name, input=x.name, output=f"{name}/out", weights=weights))
    for input_name, output_name in (("1", "2"), ("x", "real/scale"), ("radix2", "quantize")):
        network = builder.network(
            name="n",
            quantizer=input_quantizer(4),
            input_name=input_name,
            output_name=output_name,
        )
        assert_exact(network, inputs(network, 5))


def test_unknown_node() -> None:
    class Reverse(Node):
        pass

    network = one_node_network(Reverse(name="r", input="x", output="r"), (2,), ValueRange(0, 1))
    with pytest.raises(InternalError, match="r: no ONNX form for Reverse"):
        to_onnx(network)


def test_what_the_file_says() -> None:
    network = small_cnn()
    model = to_onnx(network)
    assert {(o.domain, o.version) for o in model.opset_import} == {("", 17), ("org.qdeploy", 1)}
    assert model.ir_version == 8
    assert model.producer_name == "qdeploy"
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["producer"] == "qdeploy"
    assert properties["network"] == "small_cnn"
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits", "logits_integer"]
    for value, shape in zip(
        (*model.graph.input, *model.graph.output), ((1, 8, 8), (10,), (10,)), strict=True
    ):
        batch, *sizes = value.type.tensor_type.shape.dim
        assert batch.dim_param == "N"
        assert tuple(size.dim_value for size in sizes) == shape
    names = {node.name for node in model.functions[0].node}
    assert {"conv1", "conv2", "pool", "flatten", "fc"} <= names
    assert "fc/expand/packed" in {tensor.name for tensor in model.graph.initializer}


def test_real_outputs_per_channel() -> None:
    rng = np.random.default_rng(0)
    builder = Builder()
    builder.input("x", (3, 2, 2), ValueRange(0, 3), Fraction(1))
    node = Convolution(
        name="conv",
        input="x",
        output="conv",
        weights=Weights((plane(rng, (3, 3, 1, 1), "ternary", "pixel"),)),
    )
    thirds = tuple(Fraction(n, 3) for n in (1, -2, 0))
    builder.add(node, Meaning(thirds, tuple(Fraction(n, 7) for n in (5, 0, 1))))
    network = builder.network(
        name="n", quantizer=input_quantizer(4), input_name="image", output_name="map"
    )
    assert_exact(network, inputs(network, 5))
