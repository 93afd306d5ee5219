# SPDX-License-Identifier: Apache-2.0
"""FIFOs are deep enough for the predicted interval, hardly deeper, and named when they are not."""

import copy
import re
from contextlib import suppress
from pathlib import Path

import pytest
from awkward_network import random_codes
from branching_networks import dense_network, residual_network
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn

from qdeploy.errors import InternalError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import FoldedModel, fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.schedule import steady_state
from qdeploy.fpga.schedule.fifos import SHALLOW, cheaper_depths
from qdeploy.fpga.schedule.record import ScheduledFifo
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.fpga.streams import insert_streams
from qdeploy.integer import IntegerNetwork
from qdeploy.simulation.driver import StandstillError

BOARD = load_board("pynq-z2")
NETWORKS = {
    "chain": (small_cnn(2), 576),
    "residual": (residual_network(), 720),
    "dense": (dense_network(), 768),
}


def folded_network(name: str) -> tuple[IntegerNetwork, FoldedModel]:
    network, cycles = NETWORKS[name]
    return network, fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / cycles)


def accelerator(
    network: IntegerNetwork, model: ModelWrapper, directory: Path
) -> SimulatedAccelerator:
    generate(model, network, BOARD, directory)
    return SimulatedAccelerator(directory, build_simulator(directory, directory), network)


def with_depth(model: ModelWrapper, fifo: str, depth: int) -> ModelWrapper:
    other = copy.deepcopy(model)
    getCustomOp(other.get_node_from_name(fifo)).set_nodeattr("depth", depth)
    return other


def deepest(folded: FoldedModel) -> ScheduledFifo:
    return max(folded.schedule.fifos, key=lambda fifo: fifo.depth)


@pytest.fixture(scope="module")
def residual() -> tuple[IntegerNetwork, FoldedModel]:
    return folded_network("residual")


@pytest.mark.parametrize("name", NETWORKS)
def test_fifos_hold_what_the_schedule_says(name: str, tmp_path: Path) -> None:
    network, folded = folded_network(name)
    measured = (
        accelerator(network, folded.model, tmp_path).run_codes(random_codes(network, 12)).fifos
    )
    scheduled = {fifo.name: fifo for fifo in folded.schedule.fifos}
    assert {o.fifo.name for o in measured} == scheduled.keys()
    for occupancy in measured:
        fifo = scheduled[occupancy.fifo.name]
        assert fifo.peak <= fifo.depth == occupancy.fifo.depth
        assert occupancy.words == 0
        assert 1 <= occupancy.peak <= fifo.depth
    deepest = max(measured, key=lambda occupancy: occupancy.fifo.depth)
    assert deepest.peak >= 0.9 * scheduled[deepest.fifo.name].peak


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_cheaper_fifo_costs_throughput(name: str, tmp_path: Path) -> None:
    """But for one FIFO per network at most: hardware may be a cycle ahead of the schedule."""
    network, folded = folded_network(name)
    deep = {fifo.name: fifo.depth for fifo in folded.schedule.fifos if fifo.depth > SHALLOW}
    assert max(deep.values()) > 10
    enough = []
    for fifo, depth in deep.items():
        directory = tmp_path / fifo
        directory.mkdir()
        cheaper = with_depth(folded.model, fifo, cheaper_depths(depth, SHALLOW)[-1])
        with suppress(StandstillError):
            run = accelerator(network, cheaper, directory).run_codes(random_codes(network, 24))
            if run.initiation_interval == folded.cycles_per_frame:
                enough.append(fifo)
    assert len(enough) <= 1


def test_a_schedule_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_state, "_SWEEPS", 1)
    with pytest.raises(InternalError, match="found no schedule of 768 cycles"):
        folded_network("dense")


def test_more_frames_than_the_slowest_node_can_take_are_refused() -> None:
    network, cycles = NETWORKS["residual"]
    model = map_network(network)  # unfolded: one element per cycle
    with pytest.raises(InternalError, match=f"no schedule of {cycles} cycles"):
        insert_streams(model, cycles)


def test_a_standstill_names_the_full_and_the_empty_fifo(
    residual: tuple[IntegerNetwork, FoldedModel], tmp_path: Path
) -> None:
    network, folded = residual
    shallow = with_depth(folded.model, deepest(folded).name, 2)
    with pytest.raises(StandstillError) as caught:
        accelerator(network, shallow, tmp_path).run_codes(random_codes(network, 3))

    def described(name: str) -> str:
        fifo = shallow.get_node_from_name(name)
        words, writer = (
            getCustomOp(fifo).get_nodeattr("depth"),
            shallow.find_producer(fifo.input[0]),
        )
        return f"{name} ({words} words, written by {writer.name})"

    assert str(caught.value).splitlines()[-1].strip() == (
        f"first of layer 'first' waits for a word: {described('first_fifo_2')} is empty, while "
        f"{described('first_fifo')} is full"
    )


def test_lost_throughput_names_the_full_and_the_empty_fifo(
    residual: tuple[IntegerNetwork, FoldedModel], tmp_path: Path
) -> None:
    network, folded = residual
    fifo = deepest(folded)
    less = 3 * fifo.depth // 4  # with fewer words it stands still at some depth
    shallow = with_depth(folded.model, fifo.name, less)
    run = accelerator(network, shallow, tmp_path).run_codes(random_codes(network, 24))
    assert run.initiation_interval is not None
    assert run.initiation_interval > folded.cycles_per_frame
    assert re.fullmatch(
        rf"stem_act_fork is held up in [\d,]+ cycles: {fifo.name} \({less} words, read by \w+\) "
        r"is full, while \w+ \(\d+ words, read by \w+\) is empty",
        run.slowed_by,
    )


def test_a_slow_operator_is_named(tmp_path: Path) -> None:
    network, folded = folded_network("chain")
    generate(folded.model, network, BOARD, tmp_path)
    pool = tmp_path / "max_pool.v"
    ready = "assign s_tready = !full || m_tready;"
    assert ready in pool.read_text()
    slow = (
        "reg [2:0] beat = 0; always @(posedge clk) beat <= beat + 1'b1;\n"
        "assign s_tready = (!full || m_tready) && beat == 0;"
    )
    pool.write_text(pool.read_text().replace(ready, slow))
    slowed = SimulatedAccelerator(tmp_path, build_simulator(tmp_path, tmp_path), network)
    run = slowed.run_codes(random_codes(network, 24))
    assert run.initiation_interval is not None
    assert run.initiation_interval > folded.cycles_per_frame
    found = re.fullmatch(
        r"pool of layer 'pool' works ([\d,.]+) cycles per frame, predicted (\d+)", run.slowed_by
    )
    assert found
    works = float(found[1].replace(",", ""))
    assert 0.9 * run.initiation_interval < works <= 1.1 * run.initiation_interval


def test_every_node_and_fifo_is_in_the_schedule(
    residual: tuple[IntegerNetwork, FoldedModel],
) -> None:
    _, folded = residual
    schedule = folded.schedule
    assert schedule.interval == folded.cycles_per_frame
    operators = {n.name: getCustomOp(n) for n in folded.model.graph.node}
    fifos = {
        name: op.get_nodeattr("depth") for name, op in operators.items() if op.operator == "fifo"
    }
    assert {fifo.name: fifo.depth for fifo in schedule.fifos} == fifos
    assert {node.name for node in schedule.nodes} == operators.keys() - fifos.keys()
    for node in schedule.nodes:
        assert node.busy == operators[node.name].get_exp_cycles()
        assert node.start + node.busy - 1 <= node.end
