# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from awkward_network import awkward_network, random_codes
from sample_networks import input_quantizer, random_threshold, small_cnn

from qdeploy.errors import UserError
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import Builder, IntegerNetwork, MaxPool, Threshold, ValueRange, run_codes


@pytest.mark.parametrize("seed", range(5))
def test_only_accumulators_of_falling_channels_change_and_only_their_sign(seed: int) -> None:
    network = awkward_network(seed)
    rewritten = unit_steps(network)
    steps = {n.name: set(n.step.tolist()) for n in rewritten.nodes if isinstance(n, Threshold)}
    assert steps == {"case.0": {1}, "a b": {2}, "2": {1}, "fifo": {1}}  # "a b" is bipolar
    codes = random_codes(network, 20, seed)
    before, after = run_codes(network, codes), run_codes(rewritten, codes)
    followers = {node.input: node for node in network.nodes}
    negated = 0
    for name, expected in before.items():
        follower = followers.get(name)
        if isinstance(follower, Threshold):
            sign = np.where(follower.step < 0, -1, 1).reshape(-1, *(1,) * (expected.ndim - 2))
            negated += int((sign < 0).sum())
            expected = expected * sign  # noqa: PLW2901
        assert np.array_equal(after[name], expected), name
    assert negated > 0


def test_real_values_stay_what_they_meant() -> None:
    network = awkward_network()
    rewritten = unit_steps(network)
    before, after = network.tensors["wire"].meaning, rewritten.tensors["wire"].meaning
    assert after.scale == tuple(
        -before.scale[0] if c % 2 == 0 else before.scale[0] for c in range(6)
    )


def test_a_network_with_unit_steps_keeps_its_nodes() -> None:
    network = small_cnn()
    assert all(
        a is b for a, b in zip(network.nodes[::2], unit_steps(network).nodes[::2], strict=True)
    )


def with_threshold(**changes: np.ndarray) -> IntegerNetwork:
    builder = Builder()
    x = builder.input("x", (2, 4, 4), ValueRange(0, 16), Fraction(1))
    x = builder.add(MaxPool(name="pool", input="x", output="pool", kernel=(2, 2), strides=(2, 2)))
    node = random_threshold(np.random.default_rng(0), "act", x, 2)
    builder.add(replace(node, **changes))
    return builder.network(name="n", quantizer=input_quantizer(17), input_name="i", output_name="o")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": np.array([1, -1])}, "negative in 1 channels"),
        ({"step": np.array([1, 2])}, r"steps of \[1, 2\]"),
    ],
)
def test_what_has_no_unit_steps_is_refused(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        unit_steps(with_threshold(**changes))
    assert caught.value.layer == "act"
