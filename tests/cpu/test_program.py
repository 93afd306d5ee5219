# SPDX-License-Identifier: Apache-2.0
"""Generated programs against the numpy reference, on every target that this machine runs.

QDEPLOY_EXAMPLES=1000 tries so many networks of each kind.
"""

import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from program_networks import BOOKS, MIDDLE, matrix_networks, program_networks
from program_runs import assert_exact
from random_networks import inputs, one_node_network
from sample_networks import branching_network, input_quantizer, small_cnn, small_mlp

from qdeploy.cpu.kernels.targets import TARGETS as ALL_TARGETS
from qdeploy.cpu.kernels.targets import Target, host_targets
from qdeploy.cpu.parts import whole
from qdeploy.cpu.program.planning import NoKernel, plan
from qdeploy.integer import (
    Add,
    Builder,
    Convolution,
    IntegerNetwork,
    MaxPool,
    Node,
    Plane,
    Reshape,
    SumPool,
    Transpose,
    ValueRange,
    Weights,
)

EXAMPLES = int(os.environ.get("QDEPLOY_EXAMPLES", "3"))
TARGETS = pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)


def few(function):
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # shrinking would compile for minutes
        suppress_health_check=list(HealthCheck),
    )(function)


def check(network: IntegerNetwork, target, images: int) -> None:
    note(" -> ".join(f"{node.kind} {node.name}" for node in network.nodes))
    x = inputs(network, images)
    x[0] = np.inf if images % 2 else -np.inf  # all codes at one end
    try:
        assert_exact(network, target, x)
    except NoKernel:
        assert max(tensor.range.bits for tensor in network.tensors.values()) >= 32


@TARGETS
@few
@given(data=st.data())
@pytest.mark.parametrize("kind", MIDDLE)
def test_one_operator(kind, target, data):
    check(data.draw(program_networks((kind,), 1)), target, data.draw(st.integers(1, 6)))


@TARGETS
@few
@given(data=st.data())
@pytest.mark.parametrize("book", sorted(BOOKS))
def test_long_sums(book, target, data):
    check(data.draw(matrix_networks(book)), target, data.draw(st.integers(1, 10)))


@TARGETS
@few
@given(network=program_networks(), images=st.integers(1, 6))
def test_networks(network, target, images):
    check(network, target, images)


@TARGETS
@pytest.mark.parametrize(
    "network",
    [branching_network(), small_cnn(), small_cnn(codes="binary", granularity="row"), small_mlp()],
    ids=lambda network: network.name,
)
def test_whole_networks(network, target):
    for images in (1, 7):
        assert_exact(network, target, inputs(network, images))


NAMES = {"name": "moved", "input": "x", "output": "y"}


@TARGETS
@pytest.mark.parametrize(
    "node",
    [Reshape(shape=(128, 160, 1), **NAMES), Transpose(order=(2, 1, 0), **NAMES)],
    ids=lambda node: node.kind,
)
def test_many_integers_moved_one_by_one(node: Node, target: Target) -> None:
    """np.unravel_index is wrong beyond 8,192 indices [..., 1]."""
    network = one_node_network(node, (1, 128, 160), ValueRange(0, 255))
    assert_exact(network, target, inputs(network, 2))


def product(multiplier: int, groups: int = 1) -> Convolution:
    codes = np.ones((groups, 1, 1, 1), np.int8)
    weights = Weights((Plane(codes, np.full((1, 1, 1, 1), multiplier)),))
    return Convolution(name="conv", input="x", output="y", weights=weights, groups=groups)


@TARGETS
@pytest.mark.parametrize("groups", [1, 2])
def test_the_last_integers_of_32_bits(groups, target):
    """Sums of 2^31 - 1 and more are refused; so are outputs that no int32 holds."""
    quarter = 2**31 // 255
    network = one_node_network(product(quarter, groups), (groups, 1, 1), ValueRange(0, 255))
    assert network.output_tensor.range.high < 2**31
    assert_exact(network, target, inputs(network, 9))
    network = one_node_network(product(quarter + 1, groups), (groups, 1, 1), ValueRange(0, 255))
    with pytest.raises(NoKernel, match="32 bits"):
        plan(whole(network), target)


def test_tensors_without_kernels():
    node = MaxPool(name="conv", input="x", output="y", kernel=(1, 1), strides=(1, 1))
    network = one_node_network(node, (1 << 15, 1 << 15, 1), ValueRange(0, 9))
    for target in ALL_TARGETS:
        with pytest.raises(NoKernel, match="too large"):
            plan(whole(network), target)


@TARGETS
@pytest.mark.parametrize("pad_code", [3, -1, 0])
def test_constant_sums_behind_padding(pad_code, target):
    builder = Builder()
    builder.input("x", (3, 4, 4), ValueRange(0, 16), Fraction(1))
    for name, x, outputs, inputs_, multiplier in (
        ("zero", "x", 4, 3, 0),
        ("last", "zero", 5, 4, 1),
    ):
        codes = np.where(np.arange(outputs * inputs_ * 4) % 3, 3, 5).astype(np.int16)
        plane = Plane(codes.reshape(outputs, inputs_, 2, 2), np.full((1, 1, 1, 1), multiplier))
        pads = (1, 1, 1, 1) if name == "last" else (0, 0, 0, 0)
        names = {"name": name, "input": x, "output": name}
        builder.add(Convolution(weights=Weights((plane,)), pads=pads, pad_code=pad_code, **names))
    network = builder.network(
        name="constant", quantizer=input_quantizer(17), input_name="image", output_name="y"
    )
    assert_exact(network, target, inputs(network, 2))


@TARGETS
def test_integers_with_and_without_padding_around_them(target):
    """Sums of two readers: a pool whose padding would be the lowest integer, and an output."""
    builder = Builder()
    builder.input("x", (2, 6, 6), ValueRange(0, 255), Fraction(1))
    pools = {"kernel": (2, 2), "strides": (2, 2)}
    builder.add(Add(name="twice", input="x", others=("x",), output="twice", multipliers=(2, 3)))
    builder.add(MaxPool(name="pool", input="twice", output="pool", **pools))
    builder.add(SumPool(name="sum", input="twice", output="sum", **pools))
    builder.add(Add(name="y", input="pool", others=("sum",), output="y", multipliers=(1, 1)))
    network = builder.network(
        name="n", quantizer=input_quantizer(256), input_name="image", output_name="y"
    )
    assert_exact(network, target, inputs(network, 3))
