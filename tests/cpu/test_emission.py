# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import inputs, networks, one_node_network, plane, threshold
from sample_networks import input_quantizer, small_cnn, small_mlp

from qdeploy import integer
from qdeploy.cpu import Session, pack, to_onnx
from qdeploy.cpu.convolution import channel_pieces
from qdeploy.cpu.exactness import FLOAT32_LIMIT
from qdeploy.errors import InternalError, UserError
from qdeploy.integer import (
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Meaning,
    Node,
    Plane,
    Threshold,
    ValueRange,
    Weights,
)


def assert_exact(network: IntegerNetwork, x: np.ndarray) -> None:
    with TemporaryDirectory() as directory:
        session = Session(pack(network, Path(directory) / "cpu.onnx").path, threads=1)
    expected = integer.run(network, x)
    got = session.run_integers(x)
    assert got.dtype == np.int64
    assert np.array_equal(got, expected)
    real = session.run(x)
    assert real.dtype == np.float32
    assert np.array_equal(real, network.real_output(expected))


def operators(network: IntegerNetwork) -> Counter[str]:
    return Counter(node.op_type for node in to_onnx(network).graph.node)


@settings(max_examples=150, deadline=None)
@given(networks())
def test_equals_the_reference(network: IntegerNetwork) -> None:
    assert_exact(network, inputs(network, 3))


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


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pad_code", [0, 5])
def test_convolution_in_pieces(groups: int, pad_code: int) -> None:
    rng = np.random.default_rng(groups)
    planes = [plane(rng, (6, 96, 3, 3), "ternary", "pixel") for _ in range(2)]
    for part in planes:
        part.codes[::2] = 1  # sums beyond 2^24 occur
    node = Convolution(
        name="conv",
        input="x",
        output="conv",
        weights=Weights(tuple(planes)),
        pads=(1, 0, 1, 2),
        strides=(1, 2),
        groups=groups,
        pad_code=pad_code,
    )
    network = one_node_network(node, (96 * groups, 5, 6), ValueRange(0, 255))
    assert operators(network)["Conv"] > 1
    assert_exact(network, rng.integers(100, 256, (4, 96 * groups, 5, 6)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pad_code", [0, 999])
def test_convolution_too_wide_for_float32(groups: int, pad_code: int) -> None:
    rng = np.random.default_rng(groups)
    shape = (4, 6 // groups, 3, 2)
    node = Convolution(
        name="conv",
        input="x",
        output="conv",
        weights=Weights((plane(rng, shape, "int4", "pixel", bits=9),)),
        pads=(1, 0, 2, 2),
        strides=(1, 2),
        dilations=(2, 1),
        groups=groups,
        pad_code=pad_code,
    )
    network = one_node_network(node, (6, 7, 6), ValueRange(0, 2**13))
    assert not operators(network)["Conv"]
    assert_exact(network, rng.integers(0, 2**13, (4, 6, 7, 6)))


def test_wide_padding() -> None:
    """The padding alone makes sums that float32 cannot hold."""
    weights = Weights((plane(np.random.default_rng(0), (2, 1, 3, 3), "ternary", "pixel"),))
    node = Convolution(
        name="conv",
        input="x",
        output="conv",
        weights=weights,
        pads=(2, 2, 2, 2),
        pad_code=2**20 + 1,
    )
    network = one_node_network(node, (1, 3, 3), ValueRange(0, 3))
    assert_exact(network, np.arange(9).reshape(1, 1, 3, 3) % 4)


@given(st.integers(1, 3), st.lists(st.integers(0, FLOAT32_LIMIT - 1), min_size=1, max_size=20))
def test_pieces_fit_float32(outputs: int, bounds: list[int]) -> None:
    table = np.array([np.roll(bounds, shift) for shift in range(outputs)], np.float64)
    pieces = channel_pieces(table)
    assert np.array_equal(np.concatenate(pieces), np.arange(len(bounds)))
    assert all(table[:, piece].sum(axis=1).max() < FLOAT32_LIMIT for piece in pieces)


def one_layer_network(weights: Weights) -> IntegerNetwork:
    """Linear or 1x1 convolution."""
    names = {"name": "layer", "input": "x", "output": "layer"}
    kind = Linear if len(weights.shape) == 2 else Convolution
    shape = (weights.shape[1], *weights.shape[2:])
    return one_node_network(kind(weights=weights, **names), shape, ValueRange(0, 1))


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1, 1)])
def test_large_weights_that_cancel(shape: tuple[int, ...]) -> None:
    """The planes sum to 1, but not each of them fits float32."""
    multiplier = np.full((1,) * len(shape), 2**25 + 1)
    ones = np.ones(shape, np.int8)
    weights = Weights((Plane(ones, multiplier), Plane(-ones, multiplier - 1)))
    network = one_layer_network(weights)
    assert_exact(network, inputs(network, 4))


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1, 1)])
def test_wide_codes(shape: tuple[int, ...]) -> None:
    """Codes of 25 bits fit float32, but not the numbers they are stored as."""
    codes = np.array([2**23 + 1, -5, 3, -(2**23) - 3], np.int32).reshape(shape)
    weights = Weights((Plane(codes, np.ones((1,) * len(shape), np.int64)),))
    network = one_layer_network(weights)
    assert_exact(network, inputs(network, 20))


def test_every_operator_on_wide_integers() -> None:
    """Sums of 35 bits run through convolution, pool, threshold, linear and arg-max."""
    rng = np.random.default_rng(3)
    builder = Builder()
    x = builder.input("x", (2, 6, 6), ValueRange(0, 255), Fraction(1))
    for name in ("conv1", "conv2"):
        weights = Weights((plane(rng, (3, x.channels, 3, 3), "int4", "pixel"),))
        x = builder.add(
            Convolution(name=name, input=x.name, output=name, weights=weights, pads=(1, 1, 1, 1))
        )
    x = builder.add(
        MaxPool(name="pool", input=x.name, output="pool", kernel=(2, 2), strides=(2, 2))
    )
    assert x.range.bits > 30
    wide = builder.tensors.copy(), list(builder.nodes)
    for tail in ("threshold3", "threshold40", "linear", "argmax"):
        builder.tensors, builder.nodes = dict(wide[0]), list(wide[1])
        if tail.startswith("threshold"):
            y = threshold(rng, "t", x, int(tail.removeprefix("threshold")), 3, 3)
            # Neighbours of sums that occur, which a float32 could not tell apart.
            codes = rng.integers(0, 256, (2, 2, 6, 6))
            sums = integer.run_codes(
                builder.network(
                    name="n", quantizer=input_quantizer(256), input_name="i", output_name="o"
                ),
                codes,
            )["pool"]
            y.thresholds[:, :2] = np.sort(sums[0].reshape(3, -1)[:, :2] + [0, 1], axis=1)
            y.thresholds.sort(axis=1)
            builder.add(y)
            values = (codes / 255).astype(np.float32)
        else:
            values = rng.random((4, 2, 6, 6), np.float32)
            y = builder.add(Flatten(name="flatten", input="pool", output="flatten"))
            builder.add(
                ArgMax(name="argmax", input="flatten", output="argmax")
                if tail == "argmax"
                else Linear(
                    name="fc",
                    input="flatten",
                    output="fc",
                    weights=Weights((plane(rng, (4, 27), "ternary", "layer"),)),
                )
            )
        network = builder.network(
            name="n", quantizer=input_quantizer(256), input_name="image", output_name="logits"
        )
        assert_exact(network, values)


def test_sums_beyond_float64_are_refused() -> None:
    builder = Builder()
    builder.input("x", (1024,), ValueRange(2**43, 2**43 + 1), Fraction(1))
    signs = np.tile(np.array([1, -1], np.int8), 512)[np.newaxis]
    builder.add(
        Linear(
            name="head.fc",
            input="x",
            output="fc",
            weights=Weights((Plane(signs, np.ones((1, 1), np.int64)),)),
        )
    )
    network = builder.network(
        name="n", quantizer=InputQuantizer(np.zeros(1, np.float32), 2**43), input_name="i",
        output_name="o",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"layer 'head.fc'.*9007199254740992"):
        to_onnx(network)


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
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
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
    names = {node.name for node in model.graph.node}
    assert {"conv1", "conv2", "pool", "flatten", "fc"} <= names
    assert "conv1/expand/packed" in {tensor.name for tensor in model.graph.initializer}


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
