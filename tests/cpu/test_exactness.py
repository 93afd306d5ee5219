# SPDX-License-Identifier: Apache-2.0
"""Networks whose sums do not fit float32."""

from fractions import Fraction

import numpy as np
import pytest
from exact_check import assert_exact, operators
from hypothesis import given
from hypothesis import strategies as st
from random_networks import inputs, one_node_network, plane, threshold
from sample_networks import input_quantizer

from qdeploy import integer
from qdeploy.cpu import to_onnx
from qdeploy.cpu.portable.convolution import channel_pieces
from qdeploy.cpu.portable.exactness import FLOAT32_LIMIT
from qdeploy.errors import UserError
from qdeploy.integer import (
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Plane,
    ValueRange,
    Weights,
)


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
    """Codes of 25 bits, each joined from as many digits."""
    codes = np.array([2**23 + 1, -5, 3, -(2**23) - 3], np.int32).reshape(shape)
    weights = Weights((Plane(codes, np.ones((1,) * len(shape), np.int64)),))
    network = one_layer_network(weights)
    assert_exact(network, inputs(network, 20))


@pytest.mark.parametrize("tail", ["threshold3", "threshold40", "linear", "argmax"])
def test_operators_on_wide_integers(tail: str) -> None:
    """Sums of more than 30 bits run through convolution, pool and what follows."""
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
    images = rng.random((4, 2, 6, 6), np.float32)
    if tail.startswith("threshold"):
        node = threshold(rng, "act", x, int(tail.removeprefix("threshold")), 3, 3)
        # Sums that occur and their successors, which float32 could not tell apart.
        sums = integer.run(network_of(builder), images)[0].reshape(3, -1)[:, :1]
        node.thresholds[:, -2:] = np.add(sums, [0, 1])
        node.thresholds.sort(axis=1)
        builder.add(node)
    else:
        builder.add(Flatten(name="flatten", input="pool", output="flatten"))
        names = {"name": "last", "input": "flatten", "output": "last"}
        weights = Weights((plane(rng, (4, 27), "ternary", "layer"),))
        builder.add(ArgMax(**names) if tail == "argmax" else Linear(weights=weights, **names))
    assert_exact(network_of(builder), images)


def network_of(builder: Builder) -> IntegerNetwork:
    return builder.network(
        name="wide", quantizer=input_quantizer(256), input_name="image", output_name="logits"
    )


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
