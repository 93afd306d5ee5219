# SPDX-License-Identifier: Apache-2.0
"""Channels that always have the same code are left out, and nothing else changes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx_files import QonnxFile, execute

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
    Plane,
    Quotient,
    Requantize,
    SumPool,
    Tensor,
    Threshold,
    ValueRange,
    Weights,
    run,
)
from qdeploy.lowering import lower
from qdeploy.lowering.constant_channels import without_constant_channels

INPUT = ValueRange(-3, 4)


def weights(rng: np.random.Generator, shape: tuple[int, ...], dead: float) -> Weights:
    """One or two planes; about `dead` of the rows are 0 in both."""
    rows = rng.random(shape[0]) < dead
    planes = []
    for _ in range(rng.integers(1, 3)):
        codes = rng.integers(-1, 2, shape).astype(np.int8)
        codes[rows] = 0
        sizes = [n if rng.random() < 0.5 else 1 for n in shape]
        sizes[1] = int(rng.choice([n for n in range(1, shape[1] + 1) if shape[1] % n == 0]))
        planes.append(Plane(codes, rng.integers(1, 9, sizes)))
    return Weights(tuple(planes))


def threshold(rng: np.random.Generator, x: Tensor, name: str) -> Threshold:
    """Some channels' thresholds are all at one end of the range."""
    count, rows = int(rng.integers(1, 4)), int(rng.choice([1, x.channels]))
    low, high = x.range.low, x.range.high + 1
    thresholds = np.sort(rng.integers(low, high + 1, (rows, count)), axis=1)
    for end in (low, high):
        thresholds[rng.random(rows) < 0.1] = end
    affine = int(rng.choice([1, x.channels]))
    base, step = rng.integers(-2, 3, affine), rng.choice([-2, -1, 1, 2], affine)
    return Threshold(
        name=name, input=x.name, output=name, thresholds=thresholds, base=base, step=step
    )


def meaning(rng: np.random.Generator, channels: int) -> Meaning:
    scale, offset = (
        tuple(Fraction(int(n), 7) for n in rng.integers(1, 99, size))
        for size in rng.choice([1, channels], 2)
    )
    return Meaning(scale, offset)


@st.composite
def networks(draw: st.DrawFn) -> IntegerNetwork:
    """Convolutions, pools and fully connected layers; the end is a layer, codes or a class."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dead = draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
    builder = Builder()
    x = builder.input("x", (2, 5, 5), INPUT, Fraction(1))
    for index in range(draw(st.integers(0, 2))):
        name, kernel = f"conv{index}", draw(st.sampled_from([1, 2, 3]))
        padded = kernel == 3 and draw(st.booleans())
        layer = Convolution(
            name=name,
            input=x.name,
            output=name,
            weights=weights(rng, (int(rng.integers(1, 30)), x.channels, kernel, kernel), dead),
            pads=(1, 1, 1, 1) if padded or min(x.shape[1:]) < kernel else (0, 0, 0, 0),
            pad_code=draw(st.integers(-2, 2)),
        )
        x = builder.add(layer, meaning(rng, layer.weights.shape[0]))
        x = builder.add(threshold(rng, x, f"{name}.act"), meaning(rng, x.channels))
        if min(x.shape[1:]) > 1 and draw(st.booleans()):
            pool = {"name": f"{name}.pool", "input": x.name, "output": f"{name}.pool"}
            pads = draw(st.sampled_from([(0, 0, 0, 0), (0, 0, 1, 1)]))
            kind = draw(st.sampled_from([MaxPool, SumPool]))
            x = builder.add(kind(kernel=(2, 2), strides=(2, 2), pads=pads, **pool))
    flat = Flatten(name="flatten", input=x.name, output="flatten")
    x = builder.add(flat, Meaning())
    for index in range(draw(st.integers(1, 3))):
        name = f"fc{index}"
        shape = (int(rng.integers(1, 30)), x.channels)
        linear = Linear(name=name, input=x.name, output=name, weights=weights(rng, shape, dead))
        x = builder.add(linear, meaning(rng, shape[0]))
        if index < 2 or draw(st.booleans()):
            x = builder.add(threshold(rng, x, f"{name}.act"), meaning(rng, x.channels))
    end = draw(st.sampled_from(["logits", "class", "comparable class"]))
    if end == "comparable class":
        multiplier, addend = rng.integers(1, 5, x.channels), rng.integers(-9, 9, 1)
        one, largest = np.ones(1, np.int64), np.full(1, 2**40)
        quotient = Quotient(multiplier, addend, one, -largest, largest, "FLOOR")
        x = builder.add(Requantize(name="q", input=x.name, output="q", quotient=quotient))
    if end != "logits":
        x = builder.add(ArgMax(name="class", input=x.name, output="class"), Meaning())
    quantizer = InputQuantizer(np.arange(1, 8, dtype=np.float32), INPUT.low)
    return builder.network(name="n", quantizer=quantizer, input_name="x", output_name="y")


def exact(network: IntegerNetwork, x: np.ndarray) -> np.ndarray:
    """The real outputs, Fractions."""
    scale, offset = network.output_tensor.affine()
    return scale * run(network, x).astype(object) + offset


@settings(max_examples=300, deadline=None)
@given(networks(), st.integers(0, 99))
def test_outputs_stay(network: IntegerNetwork, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 9, (20, 2, 5, 5)).astype(np.float32)
    shortened = without_constant_channels(network)
    assert np.array_equal(exact(network, x), exact(shortened, x))
    for name, tensor in shortened.tensors.items():
        assert tensor.channels <= network.tensors[name].channels
        meaning = tensor.meaning
        assert {len(meaning.scale), len(meaning.offset)} <= {1, tensor.channels}
    for node in shortened.nodes:
        if isinstance(node, Threshold):  # what every reader of thresholds takes for granted
            ends = shortened.tensors[node.input].range
            assert (node.thresholds >= ends.low).all()
            assert (node.thresholds <= ends.high + 1).all()
            assert (np.diff(node.thresholds) >= 0).all()


def two_layers(rows: np.ndarray, base: int = 0, pad: int = 0, pad_code: int = 0) -> IntegerNetwork:
    """3x3 convolution with weights of 0 in some rows, codes 0..1 + base, another convolution."""
    rng = np.random.default_rng(0)
    builder = Builder()
    builder.input("x", (2, 6, 6), INPUT, Fraction(1))
    codes = rng.choice([-1, 1], (len(rows), 2, 3, 3)).astype(np.int8)
    codes[rows] = 0
    first = Weights((Plane(codes, np.ones((1, 1, 1, 1), np.int64)),))
    x = builder.add(Convolution(name="conv1", input="x", output="conv1", weights=first))
    one = np.ones(1, np.int64)
    builder.add(
        Threshold(
            name="act",
            input="conv1",
            output="act",
            thresholds=np.full((1, 1), 1),
            base=base * one,
            step=one,
        )
    )
    second = Plane(
        rng.choice([-1, 1], (5, x.channels, 3, 3)).astype(np.int8), np.ones((1,) * 4, int)
    )
    builder.add(
        Convolution(
            name="conv2",
            input="act",
            output="conv2",
            weights=Weights((second,)),
            pads=(pad,) * 4,
            pad_code=pad_code,
        )
    )
    quantizer = InputQuantizer(np.arange(1, 8, dtype=np.float32), INPUT.low)
    return builder.network(name="n", quantizer=quantizer, input_name="x", output_name="y")


@pytest.mark.parametrize(
    ("channels", "dead", "left"),
    [
        (500, 359, 144),
        (64, 1, 64),
        (32, 13, 20),
        (9, 2, 8),
        (8, 1, 8),
        (4, 4, 4),
        (4, 3, 1),
        (250, 1, 250),
    ],
)
def test_what_is_left_has_divisors(channels: int, dead: int, left: int) -> None:
    whole = two_layers(np.arange(channels) < dead, base=1)
    network = without_constant_channels(whole)
    assert network.tensors["act"].channels == left
    x = np.random.default_rng(0).uniform(-1, 9, (3, 2, 6, 6)).astype(np.float32)
    assert np.array_equal(exact(network, x), exact(whole, x))
    first, _, second = network.nodes
    assert second.weights.shape[1] == left
    assert network.left_out == (2 + 5) * 9 * (channels - left)
    if left < channels:  # no zeros are left, so that signs take one bit
        assert first.weights.planes[0].kind == "binary"


def test_groups_of_multipliers_lose_as_many_channels_each() -> None:
    """8 channels in groups of 4: one constant in the first, two in the second."""
    network = two_layers(np.isin(np.arange(8), [2, 4, 5]), base=1)
    layer = network.nodes[-1]
    grouped = Plane(layer.weights.planes[0].codes, np.array([3, 5]).reshape(1, 2, 1, 1))
    layer = replace(layer, weights=Weights((grouped,)))
    end = replace(network.output_tensor, range=ValueRange(-999, 999))
    network = replace(
        network, nodes=(*network.nodes[:-1], layer), tensors=network.tensors | {"conv2": end}
    )
    shortened = without_constant_channels(network)
    assert shortened.tensors["act"].channels == 6
    assert shortened.nodes[-1].weights.planes[0].group == 3
    x = np.random.default_rng(0).uniform(-1, 9, (3, 2, 6, 6)).astype(np.float32)
    assert np.array_equal(exact(shortened, x), exact(network, x))


def test_constants_next_to_padding_stay_unless_it_is_the_same() -> None:
    rows = np.arange(8) < 4
    for base, pad_code, left in [(0, 0, 4), (1, 0, 8), (1, 1, 4)]:
        network = two_layers(rows, base, pad=1, pad_code=pad_code)
        assert without_constant_channels(network).tensors["act"].channels == left


@pytest.mark.parametrize("twice", ["conv1", "act"])
def test_a_tensor_with_two_readers_stays(twice: str) -> None:
    network = two_layers(np.arange(8) < 4)
    pool = MaxPool(name="pool", input=twice, output="pool", kernel=(1, 1), strides=(1, 1))
    nodes = (*network.nodes, pool)
    tensors = network.tensors | {"pool": replace(network.tensors[twice], name="pool")}
    assert without_constant_channels(replace(network, nodes=nodes, tensors=tensors)).nodes == nodes


def test_integers_that_are_compared_stay_in_order() -> None:
    """A constant summand per class cannot go where nothing adds it again; one of 0 can."""
    for base, left in [(1, 8), (0, 4)]:
        network = two_layers(np.arange(8) < 4, base)
        largest = ArgMax(name="class", input="conv2", output="class")
        index = Tensor("class", (1, 2, 2), ValueRange(0, 4))
        nodes, tensors = (*network.nodes, largest), network.tensors | {"class": index}
        network = replace(network, nodes=nodes, tensors=tensors, output="class")
        assert without_constant_channels(network).tensors["act"].channels == left


def test_a_file_with_groups_without_bases(tmp_path: Path) -> None:
    """Lowered and executed by the public executor: a bias keeps dead outputs above 0."""
    rng = np.random.default_rng(1)
    file = QonnxFile([6])
    x = file.quant("x", 0.25, 3, signed=0)
    first = rng.choice([-1, 1], (16, 6)) * (np.arange(16) % 2)[:, np.newaxis]
    weight = file.quant(file.constant(first), 1.0, 2, narrow=1)
    x = file.node("MatMul", x, file.node("Transpose", weight, perm=[1, 0]))
    x = file.node("Add", x, file.constant(rng.uniform(-1, 1, 16)))
    x = file.quant(file.node("Relu", x), 0.5, 2, signed=0)
    second = file.quant(file.constant(rng.integers(-3, 4, (4, 16))), 1.0, 3, narrow=1)
    y = file.node("MatMul", x, file.node("Transpose", second, perm=[1, 0]))
    path = file.save(y, tmp_path / "net.onnx")
    network = lower(path)
    assert network.nodes[0].weights.shape == (8, 6)
    samples = rng.uniform(-0.2, 2, (50, 6)).astype(np.float32)
    assert np.array_equal(network.real_output(run(network, samples)), execute(path, samples))
