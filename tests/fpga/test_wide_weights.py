# SPDX-License-Identifier: Apache-2.0
"""Networks with weights of 4 and 8 bits, whose products are made in DSP slices."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from awkward_network import random_codes
from qonnx.custom_op.registry import getCustomOp
from sample_networks import input_quantizer, random_threshold, small_cnn

from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.design import load_design
from qdeploy.fpga.folding import FoldedModel, fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.integer import (
    Builder,
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    Plane,
    Tensor,
    ValueRange,
    Weights,
    run_codes,
)

BOARD = load_board("pynq-z2")
PRIMITIVES = Path(__file__).parents[1] / "hw" / "primitives.v"


def wide_network(bits: int) -> IntegerNetwork:
    """conv 3x3 - threshold - linear, weights and elements of so many bits."""
    rng = np.random.default_rng(bits)
    builder = Builder()
    limit = 1 << bits - 1

    def weights(*shape: int) -> Weights:
        codes = rng.integers(-limit, limit, shape)
        codes.flat[:2] = -limit, limit - 1
        return Weights((Plane(codes.astype(np.int8), np.ones((1,) * len(shape), np.int64)),))

    def shallow(name: str, x: Tensor) -> Tensor:
        return builder.add(random_threshold(rng, name, x, bits))

    x = builder.input("x", (4, 5, 5), ValueRange(0, 2 * limit - 1), Fraction(1, 2 * limit - 1))
    conv = weights(6, 4, 3, 3)
    x = builder.add(Convolution(name="conv", input=x.name, output="conv", weights=conv))
    x = shallow("act", x)
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    builder.add(Linear(name="fc", input=x.name, output="fc", weights=weights(5, x.shape[0])))
    return builder.network(
        name=f"wide{bits}",
        quantizer=input_quantizer(2 * limit),
        input_name="image",
        output_name="logits",
    )


def products(folded: FoldedModel) -> dict[str, str]:
    """What multiplies, by layer."""
    units = [getCustomOp(node) for node in folded.model.graph.node if node.op_type == "MVAU_rtl"]
    return {unit.get_nodeattr("layer"): unit.get_nodeattr("products") for unit in units}


@pytest.mark.parametrize("bits", [4, 8])
def test_the_cells_compute_what_the_reference_does(bits: int, tmp_path: Path) -> None:
    """Multiplied in slices, all modules as they are synthesized."""
    network = wide_network(bits)
    wanted = dict.fromkeys(("conv", "fc"), "dsp")
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / 110, products=wanted)
    assert products(folded) == wanted
    generate(folded.model, network, BOARD, tmp_path)
    design = load_design(tmp_path)
    first = tmp_path / design.files[0]
    first.write_text(f"`define SYNTHESIS\n{PRIMITIVES.read_text()}{first.read_text()}")
    accelerator = SimulatedAccelerator(tmp_path, build_simulator(tmp_path, tmp_path), network)
    codes = random_codes(network, 30)
    expected = run_codes(network, codes)[network.output]
    flowing = accelerator.run_codes(codes)
    assert np.array_equal(flowing.outputs, expected)
    assert flowing.initiation_interval == design.cycles_per_frame
    stalled = accelerator.run_codes(codes, input_gap=0.5, output_stall=0.5)
    assert np.array_equal(stalled.outputs, expected)


def test_scarce_slices_go_where_they_save_most() -> None:
    mapped = map_network(wide_network(8))
    few = BOARD.model_copy(update={"resources": BOARD.resources.model_copy(update={"dsp": 10})})
    folded, plenty = fold(mapped, few), fold(mapped, BOARD)
    assert folded.record.predicted.dsp <= 10
    assert plenty.cycles_per_frame == folded.cycles_per_frame
    assert plenty.record.predicted.lut < folded.record.predicted.lut


def test_a_rate_leaves_more_of_the_board_free_than_the_fewest_luts_would() -> None:
    mapped = map_network(wide_network(8))
    fewest_luts = fold(mapped, BOARD)
    rate = BOARD.clock_mhz * 1e6 / fewest_luts.cycles_per_frame
    frugal = fold(mapped, BOARD, rate)
    assert frugal.cycles_per_frame == fewest_luts.cycles_per_frame
    assert _largest_share(frugal) < _largest_share(fewest_luts)


def _largest_share(folded: FoldedModel) -> float:
    record = folded.record
    return max(a / b for a, b in zip(record.predicted, record.resources, strict=True))


def test_the_user_decides_by_layer() -> None:
    folded = fold(map_network(wide_network(4)), BOARD, products={"conv": "lut"})
    assert products(folded) == {"conv": "lut", "fc": "dsp"}


@pytest.mark.parametrize(
    ("layer", "message", "remedy"),
    [
        ("conv2", "DSP slices do not multiply its ternary weights of 2 bits", "can be 'lut'"),
        ("act1", "'products' names 'act1', which has no matrix-vector unit", "conv1, conv2, fc"),
    ],
)
def test_slices_for_simple_weights_are_refused(layer: str, message: str, remedy: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fold(map_network(small_cnn()), BOARD, 1000, products={layer: "dsp"})
    assert caught.value.remedy.endswith(remedy)
