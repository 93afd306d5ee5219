# SPDX-License-Identifier: Apache-2.0
"""Graphs of branches, pools and rearrangements compute what the numpy reference computes."""

from exact_check import assert_exact
from hypothesis import given, settings
from random_graphs import graphs
from random_networks import inputs

from qdeploy.integer import IntegerNetwork


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_equals_the_reference(network: IntegerNetwork) -> None:
    assert_exact(network, inputs(network, 3))
