# SPDX-License-Identifier: Apache-2.0
"""Generated programs against the numpy reference, on every target that this machine runs.

QDEPLOY_EXAMPLES=1000 tries so many networks of each kind.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from program_networks import BOOKS, MIDDLE, matrix_networks, program_networks
from program_runs import assert_exact
from random_networks import inputs

from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.program.planning import NoKernel
from qdeploy.integer import IntegerNetwork

EXAMPLES = int(os.environ.get("QDEPLOY_EXAMPLES", "8"))
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
