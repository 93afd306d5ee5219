# SPDX-License-Identifier: Apache-2.0
"""Frames through the shell, with random pauses, against Python."""

from __future__ import annotations

import numpy as np
from echo_shell import (
    CONTROL,
    CYCLES,
    FRAMES_IN,
    FRAMES_OUT,
    FRAMES_PER_PACKET,
    MOVED,
    PAUSES,
    STATUS,
    Echo,
    packets,
    random_frames,
    send,
    state,
)
from hypothesis import given, settings
from hypothesis import strategies as st


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
