# SPDX-License-Identifier: Apache-2.0
"""Generated designs in Verilator against the integer reference, and their speed."""

from pathlib import Path

import numpy as np
import pytest
from awkward_network import awkward_network, random_codes
from branching_networks import (
    dense_network,
    picture_network,
    residual_network,
    separable_network,
    signal_network,
)
from planes_network import planes_network
from sample_networks import small_cnn

from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.fpga.solver.units import UnitFolding
from qdeploy.integer import IntegerNetwork, run, run_codes

BOARD = load_board("pynq-z2")
DESIGNS = {
    # Both convolutions and their windows work in every cycle: nothing may be lost anywhere.
    "cnn": (small_cnn(2), 576, {}, {}),
    "pre": (
        small_cnn(3),
        576,
        {"conv2": UnitFolding(6, 12)},
        {"conv1": "pre", "conv2": "pre"},
    ),
    "residual": (residual_network(), 720, {}, {}),
    "dense": (dense_network(), 972, {}, {}),
    "separable": (separable_network(), 576, {}, {}),
    "picture": (picture_network(), 240, {}, {}),
    "signal": (signal_network(), 240, {}, {}),
    "planes": (planes_network(), 756, {}, {}),
    "awkward": (
        awkward_network(),
        800,
        {"input": UnitFolding(2, 6), "out": UnitFolding(2, 5), "fc": UnitFolding(3, 6)},
        {},
    ),
}


@pytest.fixture(scope="module", params=DESIGNS)
def accelerator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SimulatedAccelerator:
    network, cycles, folding, forms = DESIGNS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    mapped = map_network(network, layer_forms=forms)
    folded = fold(mapped, BOARD, BOARD.clock_mhz * 1e6 / cycles, folding)
    generate(folded.model, network, BOARD, directory)
    return SimulatedAccelerator(directory, build_simulator(directory, directory), network)


def expected(network: IntegerNetwork, codes: np.ndarray) -> np.ndarray:
    return run_codes(network, codes)[network.output]


@pytest.mark.parametrize(
    ("input_gap", "output_stall"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.9), (0.5, 0.5)]
)
def test_outputs_are_those_of_the_reference_whatever_the_flow(
    accelerator: SimulatedAccelerator, input_gap: float, output_stall: float
) -> None:
    codes = random_codes(accelerator.network, 50, seed=int(10 * input_gap))
    result = accelerator.run_codes(
        codes, input_gap=input_gap, output_stall=output_stall, seed=len(codes)
    )
    assert np.array_equal(result.outputs, expected(accelerator.network, codes))


def test_the_measured_initiation_interval_is_the_predicted_one(
    accelerator: SimulatedAccelerator,
) -> None:
    result = accelerator.run_codes(random_codes(accelerator.network, 24))
    assert result.initiation_interval == accelerator.design.cycles_per_frame
    assert result.latency > 0


@pytest.mark.parametrize(
    ("gaps", "stalls", "frames"), [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 99, 3), (0.5, 0, 5)]
)
def test_long_pauses_cost_no_more_than_they_last(
    accelerator: SimulatedAccelerator, gaps: float, stalls: float, frames: int
) -> None:
    """Source and sink pause `gaps` and `stalls` times per frame, for `frames` frames each time."""
    cycles = accelerator.design.cycles_per_frame
    codes = random_codes(accelerator.network, 24, seed=frames)
    full = accelerator.run_codes(codes)
    result = accelerator.run_codes(
        codes,
        input_gap=gaps / cycles,
        output_stall=stalls / cycles,
        burst=frames * cycles,
        seed=1,
    )
    assert np.array_equal(result.outputs, expected(accelerator.network, codes))
    assert full.paused == 0
    assert result.paused >= cycles
    assert full.cycles <= result.cycles <= full.cycles + result.paused
    assert not result.slowed_by


@pytest.mark.parametrize("frames", [1, 3, 4, 24])
def test_a_pipeline_that_still_fills_is_not_called_slow(
    accelerator: SimulatedAccelerator, frames: int
) -> None:
    result = accelerator.run_codes(random_codes(accelerator.network, frames))
    assert not result.slowed_by
    # The schedule is no more than a few words of a frame behind the hardware.
    in_time = accelerator.design.latency + (frames - 1) * accelerator.design.cycles_per_frame
    assert result.cycles <= in_time < result.cycles + accelerator.design.cycles_per_frame / 2


def test_one_frame_has_a_latency_but_no_interval(accelerator: SimulatedAccelerator) -> None:
    codes = random_codes(accelerator.network, 1)
    result = accelerator.run_codes(codes)
    assert result.initiation_interval is None
    assert accelerator.design.cycles_per_frame / 2 < result.latency
    assert np.array_equal(result.outputs, expected(accelerator.network, codes))


def test_real_inputs_give_the_real_outputs_of_the_model(
    accelerator: SimulatedAccelerator,
) -> None:
    network = accelerator.network
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 8, (5, *network.input_tensor.shape)).astype(np.float32)
    assert np.array_equal(accelerator.run_integers(x), run(network, x))
    assert np.array_equal(accelerator.run(x), network.real_output(run(network, x)))
    assert np.array_equal(accelerator.run(x[0]), accelerator.run(x[:1]))


def test_wrong_calls_are_refused(accelerator: SimulatedAccelerator) -> None:
    shape = accelerator.network.input_tensor.shape
    with pytest.raises(UserError, match="shape"):
        accelerator.run(np.zeros((2, 2)))
    with pytest.raises(UserError, match="NaN"):
        accelerator.run(np.full(shape, np.nan))
    with pytest.raises(UserError, match="no frame"):
        accelerator.run(np.zeros((0, *shape)))


def test_another_network_is_refused(tmp_path: Path) -> None:
    network = small_cnn()
    folded = fold(map_network(network), BOARD, 1000)
    generate(folded.model, network, BOARD, tmp_path)
    with pytest.raises(UserError, match="streams frames of shape"):
        SimulatedAccelerator(tmp_path, tmp_path / "missing.so", small_cnn(size=6))
