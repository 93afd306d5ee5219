# SPDX-License-Identifier: Apache-2.0
"""The shell of an accelerator in Python, for machines without simulator: Python 3.8, 32-bit ARM.

Registers and streams are those of `qdeploy.simulation.shell.ShellSimulator`. Words are bytes, and
the network doubles them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from qdeploy.board import registers as at

FRAME = 8  # bytes, in both directions


class ShellModel:
    """Gives a frame every `cycles_per_frame`."""

    def __init__(self, build: str, streams: int, cycles_per_frame: int = 100) -> None:
        self.build = build
        self.cycles_per_frame = cycles_per_frame
        self.states = [0] * streams
        self.stalled = [0] * streams
        self.identity = at.IS_ACCELERATOR
        self.stuck = False
        self.packet = 1
        self.packet_is_fixed = False
        self.in_reset = False
        self.abort()
        self._clear()

    def _clear(self) -> None:
        self.taken = self.given = self.spare = self.in_packet = 0
        self.waiting: deque[tuple[bytes, bool]] = deque()

    def read(self, address: int) -> int:
        values = {
            at.IDENTITY: self.identity,
            at.VERSION: at.TABLE,
            at.CONTROL: int(self.in_reset),
            at.FRAMES_IN: self.taken,
            at.FRAMES_OUT: self.given,
            at.FRAMES_PER_PACKET: self.packet,
            at.STREAMS: len(self.states),
        }
        for index in range(at.BUILD_WORDS):
            values[at.BUILD + 4 * index] = int(self.build[8 * index : 8 * index + 8], 16)
        for index, state in enumerate(self.states):
            values[at.STATE + 8 * index] = state
            values[at.STALLED + 8 * index] = self.stalled[index]
        return values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        if address == at.CONTROL:
            self.in_reset = bool(value & at.SOFT_RESET)
            if self.in_reset:
                self._clear()
        elif address == at.FRAMES_PER_PACKET and not self.packet_is_fixed:
            self.packet, self.in_packet = value, 0

    @property
    def unsent(self) -> int:
        return FRAME * len(self.input)

    def send(self, data: np.ndarray) -> None:
        self.input.extend(frame.tobytes() for frame in data.reshape(-1, FRAME))

    def receive(self, size: int) -> None:
        self.room += size

    def received(self) -> tuple[np.ndarray, bool]:
        data, last = b"", False
        while self.came and not last:
            frame, last = self.came.popleft()
            data += frame
        return np.frombuffer(data, np.uint8), last

    def abort(self) -> None:
        self.input: deque[bytes] = deque()
        self.came: deque[tuple[bytes, bool]] = deque()
        self.room = 0

    def step(self, cycles: int) -> None:
        if self.in_reset or self.stuck:
            return
        self.spare += cycles
        while self.input and self.spare >= self.cycles_per_frame:
            self.spare -= self.cycles_per_frame
            self.taken += 1
            self.in_packet += 1
            ends = self.in_packet == self.packet
            self.in_packet = 0 if ends else self.in_packet
            doubled = 2 * np.frombuffer(self.input.popleft(), np.uint8)
            self.waiting.append((doubled.astype(np.uint8).tobytes(), ends))
        self.spare = min(self.spare, self.cycles_per_frame)
        while self.waiting and self.room:
            self.given += 1
            self.came.append(self.waiting.popleft())
            self.room = 0 if self.came[-1][1] else self.room - FRAME
        self.states[0] = at.VALID * bool(self.input) + at.READY + at.MOVED * bool(self.taken)
        self.states[-1] = at.VALID * bool(self.waiting) + at.READY * bool(self.room)
