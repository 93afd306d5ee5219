# SPDX-License-Identifier: Apache-2.0
"""Each form that a design lists takes what a design that has this form takes."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from awkward_network import awkward_network
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn

from qdeploy.fpga.board import load_board
from qdeploy.fpga.compressors.sliced_products import legal_products
from qdeploy.fpga.design import DesignNode
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.scales import ScaleForm
from qdeploy.fpga.solver.units import UnitFolding
from qdeploy.integer import IntegerNetwork

BOARD = load_board("pynq-z2")
FORMS: tuple[ScaleForm, ...] = ("post", "pre", "recode")


def units(
    network: IntegerNetwork,
    directory: Path,
    forms: Mapping[str, ScaleForm] = MappingProxyType({}),
    folding: dict[str, UnitFolding] | None = None,
) -> dict[str, DesignNode]:
    """Matrix-vector units by layer, their weights in LUTs, products in slices where they can be."""
    directory.mkdir()
    folded = fold(map_network(network, layer_forms=forms), BOARD, 100_000, folding)
    for node in folded.model.graph.node:
        if node.op_type == "MVAU_rtl":
            operator = getCustomOp(node)
            operator.set_nodeattr("weight_memory", "distributed")
            shape = operator.unit(folded.model).arithmetic().shape
            operator.set_nodeattr("products", legal_products(shape)[-1])
    made = generate(folded.model, network, BOARD, directory)
    return {node.layer: node for node in made.nodes if node.operator == "matrix_vector_unit"}


@pytest.mark.parametrize("network", [small_cnn(), awkward_network()], ids=["small", "awkward"])
def test_the_chosen_form_is_the_unit(network: IntegerNetwork, tmp_path: Path) -> None:
    for unit in units(network, tmp_path / "rtl").values():
        chosen = [form for form in unit.scale_forms if form.chosen]
        assert len(chosen) == (unit.scale_form != "none")
        for form in chosen:
            assert (form.form, form.simd) == (unit.scale_form, unit.simd)
            assert (form.cycles, form.predicted) == (unit.cycles, unit.predicted)


@pytest.mark.parametrize("built", FORMS)
def test_alternatives_cost_what_they_cost_where_they_are_built(
    built: ScaleForm, tmp_path: Path
) -> None:
    folding = {"conv2": UnitFolding(6, 4)}
    network = small_cnn()
    here = units(network, tmp_path / "here", {"conv2": built}, folding)
    assert [form.form for form in here["conv2"].scale_forms] == list(FORMS)
    for other in FORMS:
        there = units(network, tmp_path / other, {"conv2": other}, folding)["conv2"]
        listed = next(f for f in here["conv2"].scale_forms if f.form == other)
        assert there.scale_form == other
        assert listed.chosen == (built == other)
        assert (listed.cycles, listed.predicted) == (there.cycles, there.predicted)
    # conv1 has one channel, so that "post" has no groups to sum.
    assert [form.form for form in here["conv1"].scale_forms] == ["pre", "recode"]
    assert here["fc"].scale_forms == ()


def test_simd_of_an_alternative_fits_into_a_group_of_columns(tmp_path: Path) -> None:
    folding = {"conv2": UnitFolding(6, 12)}
    unit = units(small_cnn(), tmp_path / "rtl", {"conv2": "recode"}, folding)["conv2"]
    post = next(form for form in unit.scale_forms if form.form == "post")
    assert (unit.simd, post.simd, post.cycles) == (12, 4, 3 * unit.cycles)
    assert post.multipliers == 6  # a group is one word: nothing to share
    pre = next(form for form in unit.scale_forms if form.form == "pre")
    assert (pre.simd, pre.cycles, pre.multipliers) == (12, unit.cycles, 12)


def test_multipliers_can_be_shared(tmp_path: Path) -> None:
    unit = units(small_cnn(), tmp_path / "rtl", {}, {"conv2": UnitFolding(6, 2)})["conv2"]
    apart, shared = (form for form in unit.scale_forms if form.form == "post")
    assert (apart.multipliers, shared.multipliers) == (6, 3)
    assert apart.cycles == shared.cycles
    assert shared.predicted.dsp < apart.predicted.dsp
