# SPDX-License-Identifier: Apache-2.0
"""Registers of the shell, with random pauses, against Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from echo_accelerator import build_echo
from echo_shell import (
    CONTROL,
    CYCLES,
    FRAMES_IN,
    FRAMES_OUT,
    FRAMES_PER_PACKET,
    MOVED,
    PAUSES,
    READY,
    STATUS,
    STREAMS,
    VALID,
    Echo,
    packets,
    random_frames,
    send,
    stalled,
    state,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.simulation.shell import ShellSimulator


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
