# SPDX-License-Identifier: Apache-2.0
"""FINN's analysis of resources, asked of graphs of our operators."""

from functools import reduce

import pytest

pytest.importorskip("finn", reason="finn-plus is missing")

from branching_networks import residual_network, separable_network
from finn.analysis.fpgadataflow.res_estimation import res_estimation
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn, small_mlp

from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.resources import Cost
from qdeploy.integer import IntegerNetwork

BOARD = load_board("pynq-z2")


@pytest.mark.parametrize(
    "network",
    [small_cnn(), small_mlp(), residual_network(), separable_network()],
    ids=lambda n: n.name,
)
def test_it_gives_the_sum_of_the_resource_model(network: IntegerNetwork, tmp_path) -> None:
    folded = fold(map_network(network), BOARD, 20_000)
    found = res_estimation(folded.model, BOARD.part)
    design = generate(folded.model, network, BOARD, tmp_path)
    assert found.keys() == {node.name for node in design.nodes}
    expected = reduce(Cost.plus, (node.predicted for node in design.nodes))
    total = {key: sum(node[key] for node in found.values()) for key in ("LUT", "BRAM_18K", "DSP")}
    assert total["LUT"] == pytest.approx(expected.lut, abs=len(found) / 2)
    assert total["BRAM_18K"] == 2 * expected.bram36
    assert total["DSP"] == expected.dsp
    assert not any(node["URAM"] for node in found.values())
    for node in design.nodes:
        assert found[node.name]["LUT"] > 0, "every operator takes LUTs, also those new to FINN"


def test_a_node_that_is_not_folded_has_no_estimate() -> None:
    operator = getCustomOp(map_network(small_mlp()).graph.node[0])
    with pytest.raises(UserError, match="fold"):
        operator.lut_estimation(BOARD.part)
