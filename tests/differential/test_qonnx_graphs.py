# SPDX-License-Identifier: Apache-2.0
"""Random QONNX graphs: lowering and the CPU back end against exact rational execution."""

from collections import Counter

from comparison import compare
from hypothesis import HealthCheck, given, settings
from qonnx_graphs import graphs


def test_random_graphs_keep_their_meaning(tmp_path):
    outcome = Counter()

    @settings(
        max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(graphs())
    def check(model):
        outcome["refused" if compare(model, tmp_path) is None else "equal"] += 1

    check()
    assert outcome["equal"] >= 200
