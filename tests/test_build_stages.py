# SPDX-License-Identifier: Apache-2.0
"""What a build file says reaches the stages."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("finn", reason="finn-plus is missing")

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn

from qdeploy import integer
from qdeploy.build_stages import map_stage
from qdeploy.config import compile_config
from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board


def mapped(directory: Path, **options: Any) -> dict[str, tuple[str, int, int]]:
    """Form of the scales, PE and SIMD by layer."""
    network = directory / "integer.npz"
    integer.save(small_cnn(), network)
    config = compile_config(**options)
    map_stage(network, config, load_board(config.board)).run(directory)
    model = ModelWrapper(str(directory / "folded.onnx"))
    units = [getCustomOp(node) for node in model.graph.node if node.op_type == "MVAU_rtl"]
    keys = ("scale_form", "PE", "SIMD")
    return {unit.get_nodeattr("layer"): tuple(map(unit.get_nodeattr, keys)) for unit in units}


def test_a_layer_has_the_folding_and_the_form_that_the_build_file_asks_for(tmp_path: Path) -> None:
    folding = {"conv2": {"pe": 6, "simd": 12, "scale_form": "pre"}}
    assert mapped(tmp_path, folding=folding)["conv2"] == ("pre", 6, 12)
    units = mapped(tmp_path, scale_form="recode", folding=folding)
    assert (units["conv1"][0], units["conv2"][0]) == ("recode", "pre")


@pytest.mark.parametrize(
    ("layer", "form", "remedy"),
    [("conv1", "post", "'pre' or 'recode'"), ("fc", "pre", "leave out its scale_form")],
)
def test_a_form_that_a_layer_cannot_have_is_refused(
    layer: str, form: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        mapped(tmp_path, folding={layer: {"pe": 1, "simd": 1, "scale_form": form}})
    assert caught.value.layer == layer
    assert caught.value.remedy.endswith(remedy)
