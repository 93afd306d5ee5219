# SPDX-License-Identifier: Apache-2.0
"""An echo in its shell: what goes in, what must come out, and what its registers say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from qdeploy.simulation.shell import ShellSimulator

CONTROL, STATUS, FRAMES_IN, FRAMES_OUT, FRAMES_PER_PACKET, STREAMS, CYCLES = (
    *(0x08, 0x0C, 0x30, 0x34, 0x38, 0x3C, 0x40),
)
VALID, READY, MOVED = 1, 2, 4  # bits of a state
SILENCE = 2000  # cycles without a beat in which a pause may last, but no frame
# Widths in and out, words per frame, streams. Words of less than a beat, of one and of several.
SHAPES = {
    "bytes": ((8, 8), 5, 3),
    "one_beat": ((64, 16), 4, 4),
    "wide_out": ((24, 520), 3, 7),
    "wide_in": ((136, 32), 7, 33),
}
PAUSES = st.fixed_dictionaries(
    {
        "input_gap": st.sampled_from([0.0, 0.3, 0.9]),
        "output_stall": st.sampled_from([0.0, 0.3, 0.9]),
        "master_pause": st.sampled_from([0.0, 0.5]),
        "burst": st.sampled_from([1, 7]),
        "seed": st.integers(0, 2**32),
    }
)


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


def stalled(simulator: ShellSimulator, stream: int) -> int:
    return simulator.read(0x100 + 8 * stream)


def state(simulator: ShellSimulator, stream: int) -> int:
    return simulator.read(0x104 + 8 * stream)
