# SPDX-License-Identifier: Apache-2.0
"""The shell around a stand-in for the accelerator, with random pauses, against Python."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from echo_accelerator import build_echo, write_echo_in_shell
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.errors import InternalError
from qdeploy.fpga.yosys import run_yosys
from qdeploy.simulation.shell import HARNESS, ShellSimulator
from qdeploy.simulation.verilator import build_model

CONTROL, STATUS, FRAMES_IN, FRAMES_OUT, FRAMES_PER_PACKET, STREAMS, CYCLES = (
    *(0x08, 0x0C, 0x30, 0x34, 0x38, 0x3C, 0x40),
)
VALID, READY, MOVED = 1, 2, 4
SILENCE = 2000  # cycles without a beat in which a pause may last, but no frame
# Widths in and out, words per frame, streams. Words of less than a beat, of one and of several.
SHAPES = {
    "bytes": ((8, 8), 5, 3),
    "one_beat": ((64, 16), 4, 4),
    "wide_out": ((24, 520), 3, 7),
    "wide_in": ((136, 32), 7, 33),
}


@dataclass(frozen=True)
class Echo:
    """A shape with its simulation, and what its frames look like in memory."""

    model: Path
    widths: tuple[int, int]
    words: int
    streams: int

    def simulator(self, **pauses: float) -> ShellSimulator:
        return ShellSimulator(self.model, **pauses)  # type: ignore[arg-type]

    def frame(self, words: list[int]) -> bytes:
        """Words that go in, as memory holds them."""
        return _layout(words, self.widths[0])

    def echo(self, words: list[int]) -> bytes:
        """What comes out for them."""
        narrow, wide = self.widths
        copies = -(-wide // narrow)
        repeated = [sum(word << narrow * i for i in range(copies)) for word in words]
        return _layout([word % (1 << wide) for word in repeated], wide)


def _layout(words: list[int], width: int) -> bytes:
    size = 1
    while 8 * size < width:
        size *= 2
    data = b"".join(word.to_bytes(size, "little") for word in words)
    return data + bytes(-len(data) % 8)


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Echo]:
    """Makes every shape once."""

    @cache
    def make(name: str) -> Echo:
        widths, words, streams = SHAPES[name]
        model = build_echo(tmp_path_factory.mktemp(name), widths, words, streams)
        return Echo(model, widths, words, streams)

    return make


@pytest.fixture(scope="module", params=SHAPES)
def echo(request: pytest.FixtureRequest, echoes: Callable[[str], Echo]) -> Echo:
    return echoes(request.param)


@pytest.fixture(scope="module")
def small(echoes: Callable[[str], Echo]) -> Echo:
    return echoes("bytes")


def random_frames(
    echo: Echo, rng: np.random.Generator, count: int, longest_wait: int = 3
) -> list[list[int]]:
    """Words of any value whose lowest bytes, the cycles that each waits, are small."""
    return [
        [
            int.from_bytes(rng.bytes(echo.widths[0] // 8 - 1), "little") << 8
            | int(rng.integers(longest_wait + 1))
            for _ in range(echo.words)
        ]
        for _ in range(count)
    ]


def send(echo: Echo, simulator: ShellSimulator, frames: list[list[int]]) -> None:
    simulator.send(np.frombuffer(b"".join(map(echo.frame, frames)), np.uint8))


def packets(simulator: ShellSimulator, size: int) -> Iterator[bytes]:
    """What comes out, up to each TLAST, until the design has been silent for long."""
    while True:
        simulator.receive(size)
        data, last, silent = b"", False, 0
        while silent < SILENCE and not last:
            simulator.step(50)
            more, last = simulator.received()
            data += more.tobytes()
            silent = 0 if more.size else silent + 50
        yield data
        if not last:
            return


PAUSES = st.fixed_dictionaries(
    {
        "input_gap": st.sampled_from([0.0, 0.3, 0.9]),
        "output_stall": st.sampled_from([0.0, 0.3, 0.9]),
        "master_pause": st.sampled_from([0.0, 0.5]),
        "burst": st.sampled_from([1, 7]),
        "seed": st.integers(0, 2**32),
    }
)


@settings(deadline=None)
@given(PAUSES, st.integers(1, 6), st.integers(1, 4))
def test_frames_come_out_as_memory_holds_them(
    echo: Echo, pauses: dict[str, float], count: int, per_packet: int
) -> None:
    simulator = echo.simulator(**pauses)
    simulator.write(FRAMES_PER_PACKET, per_packet)
    frames = random_frames(echo, np.random.default_rng(count), count)
    send(echo, simulator, frames)
    expected = [
        b"".join(map(echo.echo, frames[first : first + per_packet]))
        for first in range(0, count, per_packet)
    ]
    if count % per_packet == 0:
        expected.append(b"")  # nothing behind the last TLAST
    assert list(packets(simulator, 1 << 16)) == expected
    assert simulator.unsent == 0
    found = [simulator.read(address) for address in (STATUS, FRAMES_IN, FRAMES_OUT)]
    assert found == [0, count, count]


def test_a_word_or_a_beat_per_cycle(echo: Echo) -> None:
    frames = random_frames(echo, np.random.default_rng(0), 60, longest_wait=0)
    simulator = echo.simulator()
    simulator.write(FRAMES_PER_PACKET, len(frames))
    send(echo, simulator, frames)
    start = simulator.cycle
    size = sum(len(echo.echo(frame)) for frame in frames)
    simulator.receive(size)
    data = b""
    while len(data) < size:
        simulator.step(1)
        data += simulator.received()[0].tobytes()
    beats = [len(make(frames[0])) // 8 for make in (echo.frame, echo.echo)]
    interval = max(echo.words, *beats)
    assert simulator.cycle - start <= interval * len(frames) + 12
    assert data == b"".join(map(echo.echo, frames))


def test_a_packet_starts_anew_when_its_length_is_written(small: Echo) -> None:
    simulator = small.simulator()
    frames = random_frames(small, np.random.default_rng(2), 4)
    for per_packet, frames_of_packets in ((3, [3, 1]), (2, [2, 2, 0])):
        simulator.write(FRAMES_PER_PACKET, per_packet)
        send(small, simulator, frames)
        assert [len(data) // 8 for data in packets(simulator, 1 << 12)] == frames_of_packets


@settings(deadline=None)
@given(PAUSES, st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60)), min_size=1, max_size=6))
def test_packets_are_whole_frames_whenever_their_length_changes(
    echo: Echo, pauses: dict[str, float], lengths: list[tuple[int, int]]
) -> None:
    simulator = echo.simulator(**pauses)
    frames = random_frames(echo, np.random.default_rng(len(lengths)), 15)
    send(echo, simulator, frames)
    size = len(echo.echo(frames[0]))
    found = []
    for length, cycles in lengths:
        simulator.write(FRAMES_PER_PACKET, length)
        simulator.receive(1 << 16)
        simulator.step(cycles)
        data, last = simulator.received()
        found.append(data.tobytes())
        assert not last or sum(map(len, found)) % size == 0
    found += packets(simulator, 1 << 16)
    assert b"".join(found) == b"".join(map(echo.echo, frames))


@st.composite
def transfers(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    known = st.sampled_from([CONTROL, FRAMES_PER_PACKET, *range(0, 0x44, 4)])
    address = st.one_of(known, known.map(lambda a: a + 0x8000), st.integers(0, 0xFFFF))
    value = st.one_of(st.none(), st.integers(0, 2**32 - 1))
    return draw(st.lists(st.tuples(address, value), max_size=30))


@settings(deadline=None)
@given(PAUSES, st.lists(st.tuples(transfers(), st.integers(0, 15)), max_size=4))
def test_registers_are_those_of_the_table(
    echo: Echo, pauses: dict[str, float], runs: list[tuple[list[tuple[int, int | None]], int]]
) -> None:
    simulator = echo.simulator(**pauses)
    build = json.loads((echo.model.parent / "shell" / "shell.json").read_text())["build"]
    table = {0x00: 0x51445031, 0x04: 1, CONTROL: 0, FRAMES_PER_PACKET: 1, STREAMS: echo.streams}
    for word in range(8):
        table[0x10 + 4 * word] = int(build[8 * word : 8 * word + 8], 16)
    for run, strobes in runs:
        for address, value in run:
            register = address & ~3
            if 0x100 <= register < 0x100 + 8 * echo.streams or register == CYCLES:
                continue
            found = simulator.transfer([(address, value)], strobes)
            if value is None:
                assert found == [table.get(register, 0)], hex(address)
            elif register == CONTROL and strobes & 1:
                table[CONTROL] = value & 1
            elif register == FRAMES_PER_PACKET:
                mask = sum(0xFF << 8 * i for i in range(4) if strobes >> i & 1)
                table[register] = table[register] & ~mask | value & mask


@settings(deadline=None)
@given(PAUSES, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_transfers_follow_each_other_at_once(
    small: Echo, pauses: dict[str, float], values: list[int]
) -> None:
    """Addresses and data of many writes, and many reads, are on their way at the same time."""
    simulator = small.simulator(**pauses)
    writes = [(FRAMES_PER_PACKET, value) for value in values]
    reads = [(address, None) for address in (FRAMES_PER_PACKET, 0x00) for _ in values]
    found = simulator.transfer([*writes, *reads])
    seen = [value for value in [1, *values] for _ in reads]  # each as long as one likes
    for value in found[: len(values)]:
        assert value in seen
        seen = seen[seen.index(value) :]
    assert found[len(values) :] == [0x51445031] * len(values)
    assert simulator.read(FRAMES_PER_PACKET) == values[-1]


def test_a_transfer_takes_a_few_cycles(small: Echo) -> None:
    simulator = small.simulator()
    start = simulator.cycle
    simulator.transfer([(FRAMES_PER_PACKET, value) for value in range(100)])
    middle = simulator.cycle
    simulator.transfer([(FRAMES_PER_PACKET, None)] * 100)
    assert middle - start <= 2 * 100 + 2
    assert simulator.cycle - middle <= 2 * 100 + 2


def test_cycles_are_counted(small: Echo) -> None:
    simulator = small.simulator(master_pause=0.7, burst=5)
    before = simulator.cycle
    first = simulator.read(CYCLES)
    simulator.step(1000)
    second = simulator.read(CYCLES)
    assert 1000 < second - first <= simulator.cycle - before


def stalled(simulator: ShellSimulator, stream: int) -> int:
    return simulator.read(0x100 + 8 * stream)


def state(simulator: ShellSimulator, stream: int) -> int:
    return simulator.read(0x104 + 8 * stream)


@settings(deadline=None)
@given(PAUSES, st.integers(1, 4))
def test_stalls_are_counted_exactly(echo: Echo, pauses: dict[str, float], count: int) -> None:
    """Every word of stream 1 waits as many cycles as its lowest byte says, if the sink is fast."""
    simulator = echo.simulator(**pauses | {"output_stall": 0.0})
    simulator.write(FRAMES_PER_PACKET, 0)  # 2^32
    frames = random_frames(echo, np.random.default_rng(count), count, longest_wait=200)
    assert state(simulator, 1) & MOVED == 0
    send(echo, simulator, frames)
    (data,) = packets(simulator, 1 << 16)
    assert data == b"".join(map(echo.echo, frames))
    waits = sum(word & 0xFF for frame in frames for word in frame)
    # What the beats of a wide word keep the next one waiting for comes on top.
    leaving = len(data) // 8 if echo.widths[1] > 64 else 0
    assert waits <= stalled(simulator, 1) <= waits + leaving
    assert state(simulator, 1) & (VALID | MOVED) == MOVED
    assert state(simulator, 2) & (VALID | MOVED) == MOVED
    for stream in range(3, echo.streams):
        shown = [READY, VALID, VALID | READY | MOVED][(stream - 3) % 3]
        assert state(simulator, stream) == shown
        least, found, most = (
            simulator.read(CYCLES) - echo.streams - 1,
            stalled(simulator, stream),
            simulator.read(CYCLES),
        )
        assert least <= found <= most if shown == VALID else found == 0


def test_a_blocked_output_and_a_starved_input_show(echo: Echo) -> None:
    simulator = echo.simulator()
    assert [state(simulator, stream) & (VALID | MOVED) for stream in range(3)] == [0, 0, 0]
    assert state(simulator, 0) & READY
    frames = random_frames(echo, np.random.default_rng(1), 30)
    send(echo, simulator, frames)
    simulator.step(2000)
    assert [state(simulator, stream) & (VALID | READY) for stream in range(3)] == [VALID] * 3
    assert simulator.read(STATUS) == 1
    assert simulator.unsent > 0
    assert simulator.read(FRAMES_OUT) == 0
    before = [(stalled(simulator, stream), simulator.cycle) for stream in range(3)]
    simulator.step(5000)
    for stream, (count, cycle) in enumerate(before):
        increase = stalled(simulator, stream) - count
        assert abs(increase - (simulator.cycle - cycle)) <= 2 * echo.streams + 10
    assert b"".join(packets(simulator, 1 << 16)) == b"".join(map(echo.echo, frames))
    assert [state(simulator, stream) & VALID for stream in range(3)] == [0, 0, 0]
    quiet = [stalled(simulator, stream) for stream in range(3)]
    simulator.step(500)
    assert [stalled(simulator, stream) for stream in range(3)] == quiet


@settings(deadline=None)
@given(PAUSES, st.integers(1, 300))
def test_after_a_soft_reset_all_begins_anew(
    echo: Echo, pauses: dict[str, float], cycles: int
) -> None:
    simulator = echo.simulator(**pauses)
    rng = np.random.default_rng(cycles)
    simulator.write(FRAMES_PER_PACKET, 2)
    send(echo, simulator, random_frames(echo, rng, 20, longest_wait=9))
    simulator.receive(1 << 16)
    simulator.step(cycles)
    simulator.write(CONTROL, 1)
    zeros = [STATUS, FRAMES_IN, FRAMES_OUT, CYCLES]
    zeros += [0x100 + 8 * stream for stream in range(echo.streams)]
    assert [simulator.read(address) for address in zeros] == [0] * len(zeros)
    assert [state(simulator, stream) & MOVED for stream in range(3)] == [0, 0, 0]
    simulator.abort()
    simulator.write(CONTROL, 0)
    frames = random_frames(echo, rng, 3)
    send(echo, simulator, frames)
    expected = [b"".join(map(echo.echo, frames[:2])), echo.echo(frames[2])]
    assert list(packets(simulator, 1 << 16)) == expected
    assert simulator.read(FRAMES_OUT) == 3


def test_in_reset_no_beat_is_taken(small: Echo) -> None:
    simulator = small.simulator()
    simulator.write(CONTROL, 1)
    frames = random_frames(small, np.random.default_rng(1), 2)
    send(small, simulator, frames)
    simulator.step(100)
    assert simulator.unsent == 16
    simulator.write(CONTROL, 0)
    assert list(packets(simulator, 64)) == [*map(small.echo, frames), b""]


@settings(deadline=None)
@given(PAUSES)
def test_a_deadlock_shows_the_stream_that_stands(small: Echo, pauses: dict[str, float]) -> None:
    simulator = small.simulator(**pauses)
    send(small, simulator, [[1, 2, 3, 255, 5], *[[1] * 5] * 9])
    assert list(packets(simulator, 1 << 12)) == [b""]
    assert simulator.read(STATUS) == 1
    assert simulator.read(FRAMES_IN) >= 1
    assert simulator.read(FRAMES_OUT) == 0
    assert state(simulator, 0) == VALID | MOVED
    assert state(simulator, 1) == VALID | MOVED
    assert state(simulator, 2) & VALID == 0
    before = stalled(simulator, 1)
    simulator.step(1000)
    assert stalled(simulator, 1) > before + 900
    simulator.write(CONTROL, 1)
    simulator.abort()
    simulator.write(CONTROL, 0)
    send(small, simulator, [[5, 4, 3, 2, 1]])
    assert list(packets(simulator, 64)) == [small.echo([5, 4, 3, 2, 1]), b""]


def test_stall_counters_stop_at_their_end(tmp_path: Path) -> None:
    count_bits = {".STREAMS(3)": ".STREAMS(3), .COUNT_BITS(6)"}
    simulator = ShellSimulator(build_echo(tmp_path, (8, 8), 1, 3, count_bits))
    simulator.send(np.full(80, 255, np.uint8))
    counts = []
    for _ in range(60):
        counts.append(stalled(simulator, 1))
        simulator.step(3)
    assert counts == sorted(counts)
    assert counts[0] < 20
    assert counts[30:] == [63] * 30


FAULTS = {
    "withdrawn": (
        {"assign m_tvalid = full;\n  always": "assign m_tvalid = full && !new_packet;\n  always"},
        "withdrew or changed",
    ),
    "depends on an input": (
        {"assign s_axi_wready = s_axi_awready;": "assign s_axi_wready = s_axi_wvalid;"},
        "depend on an input",
    ),
    "early answer": (
        {"if (s_axi_awready) s_axi_bvalid <= 1'b1;": "if (s_axi_awvalid) s_axi_bvalid <= 1'b1;"},
        "not requested|withdrew",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shell_that_breaks_a_protocol_is_found(fault: str, tmp_path: Path) -> None:
    changes, message = FAULTS[fault]
    model = build_echo(tmp_path, (8, 8), 2, 3, changes)
    simulator = ShellSimulator(model, output_stall=0.5, master_pause=0.5, seed=1)
    simulator.send(np.zeros(80, np.uint8))
    simulator.receive(800)
    with pytest.raises(InternalError, match=message):
        for value in range(100):
            simulator.write(FRAMES_PER_PACKET, value)


SYNTHESIS = """
read_verilog -defer {files}
read_verilog -lib +/xilinx/cells_sim.v
hierarchy -check -top echo_shell
synth_xilinx -family xc7 -top echo_shell -flatten -noiopad
tee -o cells.json stat -json
setundef -zero -params
write_verilog -noattr cells.v
design -reset
read_verilog cells.v +/xilinx/cells_sim.v
hierarchy -top echo_shell
proc
flatten
opt_clean
write_verilog -noattr netlist.v
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bytes", "wide_out"])
def test_cells_of_yosys_do_the_same(name: str, tmp_path: Path) -> None:
    widths, words, streams = SHAPES[name]
    shell = write_echo_in_shell(tmp_path, widths, words, streams)
    for file in (*(tmp_path / "rtl").glob("*.v"), *(tmp_path / "shell").glob("*.v")):
        shutil.copy(file, tmp_path)
    files = " ".join(["fifo.v", "echo.v", *shell.files])
    run_yosys("; ".join(SYNTHESIS.format(files=files).strip().splitlines()), tmp_path)
    (module,) = json.loads((tmp_path / "cells.json").read_text())["modules"].values()
    assert not {cell for cell in module["num_cells_by_type"] if cell.startswith(("LD", "DSP"))}
    model = build_model([tmp_path / "netlist.v"], "echo_shell", tmp_path, harness=HARNESS)
    synthesized = Echo(model, widths, words, streams)
    frames = random_frames(synthesized, np.random.default_rng(0), 12, longest_wait=40)
    simulator = synthesized.simulator(input_gap=0.5, output_stall=0.5, master_pause=0.5, seed=1)
    build = [simulator.read(address) for address in range(0x10, 0x30, 4)]
    assert "".join(f"{word:08x}" for word in build) == shell.build
    simulator.write(FRAMES_PER_PACKET, 4)
    send(synthesized, simulator, frames)
    expected = [b"".join(map(synthesized.echo, frames[i : i + 4])) for i in (0, 4, 8)]
    assert list(packets(simulator, 1 << 16)) == [*expected, b""]
    assert [simulator.read(address) for address in (STATUS, FRAMES_IN, FRAMES_OUT)] == [0, 12, 12]
    waits = sum(word & 0xFF for frame in frames for word in frame)
    assert stalled(simulator, 1) >= waits
    assert state(simulator, 1) & (VALID | MOVED) == MOVED
    simulator.write(CONTROL, 1)
    assert [simulator.read(address) for address in (FRAMES_IN, 0x108)] == [0, 0]
