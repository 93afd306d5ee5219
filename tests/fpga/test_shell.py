# SPDX-License-Identifier: Apache-2.0
"""Whole accelerators in their shell: what a processor and a DMA engine get from them."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from awkward_network import random_codes
from branching_networks import residual_network
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.custom_op.registry import getCustomOp
from sample_networks import small_cnn, small_mlp

from qdeploy.board.manifest import Stream
from qdeploy.board.streams import pack_frames, unpack_frames
from qdeploy.errors import UserError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.shell import Shell, generate_shell, load_shell
from qdeploy.integer import IntegerNetwork, run_codes
from qdeploy.simulation.shell import ShellSimulator, build_shell_model

BOARD = load_board("pynq-z2")
CONTROL, STATUS, FRAMES_IN, FRAMES_OUT, FRAMES_PER_PACKET = 0x08, 0x0C, 0x30, 0x34, 0x38
VALID, READY = 1, 2


def write_design(network: IntegerNetwork, directory: Path, cycles: int) -> Design:
    directory.mkdir()
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / cycles)
    return generate(folded.model, network, BOARD, directory)


@dataclass(frozen=True)
class Accelerator:
    """A network with the simulation of its accelerator in the shell."""

    network: IntegerNetwork
    design: Design
    shell: Shell
    model: Path
    directory: Path

    def simulator(self, **pauses: float) -> ShellSimulator:
        return ShellSimulator(self.model, self.directory, **pauses)  # type: ignore[arg-type]

    def send(self, simulator: ShellSimulator, codes: np.ndarray) -> None:
        stream = Stream(**self.design.input.model_dump() | self.shell.input.model_dump())
        simulator.send(pack_frames(codes, stream).ravel())

    def receive(self, simulator: ShellSimulator, frames: int) -> np.ndarray:
        """One packet of so many frames."""
        stream = Stream(**self.design.output.model_dump() | self.shell.output.model_dump())
        simulator.receive(frames * stream.frame_bytes)
        for _ in range(1000):
            if not simulator.room:
                break
            simulator.step(100)
        data, last = simulator.received()
        assert last
        return unpack_frames(data.reshape(frames, stream.frame_bytes), stream)

    def expected(self, codes: np.ndarray) -> np.ndarray:
        return run_codes(self.network, codes)[self.network.output]


def build(network: IntegerNetwork, directory: Path, design: Design) -> Accelerator:
    (directory / "shell").mkdir()
    shell = generate_shell(directory / "rtl", directory / "shell")
    model = build_shell_model(directory / "rtl", directory / "shell", directory)
    return Accelerator(network, design, shell, model, directory / "rtl")


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Accelerator:
    directory = tmp_path_factory.mktemp("cnn")
    network = small_cnn(2)
    return build(network, directory, write_design(network, directory / "rtl", 576))


PAUSES = st.fixed_dictionaries(
    {
        "input_gap": st.sampled_from([0.0, 0.5, 0.9]),
        "output_stall": st.sampled_from([0.0, 0.5, 0.9]),
        "master_pause": st.sampled_from([0.0, 0.5]),
        "burst": st.sampled_from([1, 9]),
        "seed": st.integers(0, 2**32),
    }
)


@settings(max_examples=15, deadline=None)
@given(PAUSES, st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_outputs_are_those_of_the_reference(
    cnn: Accelerator, pauses: dict[str, float], packets: list[int]
) -> None:
    simulator = cnn.simulator(**pauses)
    for frames in packets:
        simulator.write(FRAMES_PER_PACKET, frames)
        codes = random_codes(cnn.network, frames, seed=frames)
        cnn.send(simulator, codes)
        assert np.array_equal(cnn.receive(simulator, frames), cnn.expected(codes))
    found = [simulator.read(address) for address in (STATUS, FRAMES_IN, FRAMES_OUT)]
    assert found == [0, sum(packets), sum(packets)]


@settings(max_examples=15, deadline=None)
@given(PAUSES, st.integers(0, 3000))
def test_a_soft_reset_leaves_nothing_of_the_frames_inside(
    cnn: Accelerator, pauses: dict[str, float], cycles: int
) -> None:
    simulator = cnn.simulator(**pauses)
    codes = random_codes(cnn.network, 6, seed=cycles)
    cnn.send(simulator, codes)
    simulator.step(cycles)
    simulator.abort()
    simulator.transfer([(CONTROL, 1), (CONTROL, 0)])  # as short as can be
    simulator.write(FRAMES_PER_PACKET, 2)
    cnn.send(simulator, codes[3:5])
    assert np.array_equal(cnn.receive(simulator, 2), cnn.expected(codes[3:5]))


def test_frames_leave_at_the_predicted_rate(cnn: Accelerator) -> None:
    simulator = cnn.simulator()
    codes = random_codes(cnn.network, 20)
    cnn.send(simulator, codes)
    ends = []
    for _ in codes:
        simulator.receive(cnn.shell.output.frame_bytes)
        while simulator.room:
            simulator.step(1)
        ends.append(simulator.cycle)
    assert set(np.diff(ends)[10:]) == {cnn.design.cycles_per_frame}


@pytest.mark.slow
def test_a_deadlock_shows_where_words_wait_and_are_missing(tmp_path: Path) -> None:
    """A short branch whose FIFO is too short, so that the add behind it never gets both."""
    network = residual_network()
    folded = fold(map_network(network), BOARD, BOARD.clock_mhz * 1e6 / 720)
    deepest = max(folded.schedule.fifos, key=lambda fifo: fifo.depth)
    model = copy.deepcopy(folded.model)
    getCustomOp(model.get_node_from_name(deepest.name)).set_nodeattr("depth", 2)
    (tmp_path / "rtl").mkdir()
    accelerator = build(network, tmp_path, generate(model, network, BOARD, tmp_path / "rtl"))
    streams = accelerator.shell.streams
    operators = [node for node in accelerator.design.nodes if node.operator != "fifo"]
    assert len(set(streams)) == len(streams) == sum(n.input_streams for n in operators) + 1
    simulator = accelerator.simulator()
    accelerator.send(simulator, random_codes(network, 3))
    simulator.receive(1 << 16)
    simulator.step(20_000)
    states = {
        name: simulator.read(0x104 + 8 * index) & (VALID | READY)
        for index, name in enumerate(streams)
    }
    waiting = [name for name, state in states.items() if state == VALID]
    into_add = {name: state for name, state in states.items() if name.endswith("-> first")}
    assert sorted(map(bool, (state & VALID for state in into_add.values()))) == [False, True]
    assert waiting[0].startswith("input -> ")
    assert waiting[-1] in into_add  # the last one that waits, nearest to the output
    assert simulator.read(STATUS) == 1
    assert simulator.read(FRAMES_OUT) == 0


def test_streams_have_names_of_layers_in_the_order_of_the_data(cnn: Accelerator) -> None:
    streams = load_design(cnn.directory).streams
    assert cnn.shell.streams == streams
    assert len(set(streams)) == len(streams)
    writers, readers = zip(*(name.split(" -> ") for name in streams), strict=True)
    assert writers[0] == "input"
    assert readers[-1] == "output"
    assert list(writers[1:]) == list(readers[:-1])  # a chain
    layers = [re.split(" ", name)[0] for name in readers[:-1]]
    assert list(dict.fromkeys(layers)) == ["conv1", "conv2", "pool", "fc"]
    assert "pool -> fc" in streams


def test_the_build_hash_depends_on_all_that_is_built(tmp_path: Path) -> None:
    network = small_mlp()
    write_design(network, tmp_path / "rtl", 100)
    builds = []
    for index, change in enumerate([None, None, "rtl/small_mlp_top.v", "rtl/design.json"]):
        if change:
            file = tmp_path / change
            file.write_text(file.read_text() + "\n")
        directory = tmp_path / str(index)
        directory.mkdir()
        shell = generate_shell(tmp_path / "rtl", directory)
        assert load_shell(directory) == shell
        assert {path.name for path in directory.iterdir()} == {*shell.files, "shell.json"}
        assert shell.build in (directory / f"{shell.top}.v").read_text()
        builds.append(shell.build)
    assert builds[0] == builds[1]
    assert len(set(builds)) == 3


def test_a_damaged_description_is_refused(cnn: Accelerator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no shell"):
        load_shell(tmp_path)
    document = cnn.shell.model_dump()
    for damage, message in (
        ({"build": "0"}, "is no shell"),
        ({"files": ["../register_file.v"]}, "outside"),
        ({"more": 1}, "is no shell"),
    ):
        (tmp_path / "shell.json").write_text(json.dumps(document | damage))
        with pytest.raises(UserError, match=message):
            load_shell(tmp_path)
