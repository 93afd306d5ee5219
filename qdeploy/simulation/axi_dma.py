# SPDX-License-Identifier: Apache-2.0
"""The registers of AXI DMA in direct register mode (AMD PG021) between memory and two streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.simulation.device_memory import DecodeError, DeviceMemory

if TYPE_CHECKING:
    from typing import Protocol

    import numpy as np
    import numpy.typing as npt

    class Streams(Protocol):
        """Beats into a design and out of it; see `ShellSimulator`."""

        @property
        def unsent(self) -> int:
            """Bytes that the design has not taken yet."""

        def send(self, data: npt.NDArray[np.uint8]) -> None:
            """Queue bytes, whole beats, behind those."""

        def receive(self, size: int) -> None:
            """Take `size` more bytes, but none behind a beat with TLAST."""

        def received(self) -> tuple[npt.NDArray[np.uint8], bool]:
            """What came since the last call, up to TLAST, and whether that came."""

        def abort(self) -> None:
            """Offer nothing and take nothing."""


BEAT = 8  # bytes
MM2S, S2MM = 0x00, 0x30
CONTROL, STATUS, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, INTERNAL, SLAVE, DECODE = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 1 << 6
COMPLETE, ERROR = 1 << 12, 1 << 14  # interrupts


class AxiDma:
    """Both channels. Time passes outside: `update` sees what the streams did meanwhile.

    Args:
        streams: of the design.
        memory: that the addresses are of.
        length_bits: bits of the length registers.

    Attributes:
        failing: what the next transfer of a side fails with, for tests: INTERNAL, SLAVE or DECODE.
        deaf: whether no beat is received, for tests.
        hangs: whether resets do not end, for tests.
    """

    def __init__(self, streams: Streams, memory: DeviceMemory, length_bits: int = 26) -> None:
        self._streams = streams
        self._memory = memory
        self._length_mask = (1 << length_bits) - 1
        self.failing: dict[int, int] = {}
        self.deaf = self.hangs = False
        self._reset()

    def _reset(self) -> None:
        self._streams.abort()
        self._registers = {side + STATUS: HALTED for side in (MM2S, S2MM)}
        self._active: set[int] = set()
        self._room = self._received = 0

    def read(self, offset: int) -> int:
        """The value of a register."""
        self.update()
        return self._registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Set a register, with what follows from it."""
        self.update()
        side, register = (S2MM, offset - S2MM) if offset >= S2MM else (MM2S, offset)
        if register == CONTROL:
            if value & RESET:
                self._reset()
            self._registers[offset] = value & (RUN | RESET) if self.hangs else value & RUN
            if value & RUN and not value & RESET:
                self._registers[side + STATUS] &= ~HALTED
            else:
                self._registers[side + STATUS] |= HALTED
        elif register == STATUS:
            self._registers[offset] &= ~(value & (COMPLETE | ERROR))
        else:
            self._registers[offset] = value & self._length_mask if register == LENGTH else value
            if register == LENGTH and not self._registers[side + STATUS] & HALTED:
                self._start(side)

    def _start(self, side: int) -> None:
        self._registers[side + STATUS] &= ~IDLE
        size = self._registers[side + LENGTH]
        address = self._address(side)
        error = self.failing.pop(side, 0)
        if not size or size % BEAT or address % BEAT or side in self._active:
            error = INTERNAL
        try:
            data = self._memory.read(address, size)
        except DecodeError:
            error = error or DECODE
        if error:
            self._fail(side, error)
            return
        self._active.add(side)
        if side == MM2S:
            self._streams.send(data)
        else:
            self._room, self._received = size, 0
            if not self.deaf:
                self._streams.receive(size)

    def update(self) -> None:
        """Take over what the streams did."""
        if MM2S in self._active and not self._streams.unsent:
            self._finish(MM2S)
        if S2MM in self._active:
            data, last = self._streams.received()
            self._memory.write(self._address(S2MM) + self._received, data)
            self._received += len(data)
            if last:
                self._registers[S2MM + LENGTH] = self._received
                self._finish(S2MM)
            elif self._received == self._room:
                self._fail(S2MM, INTERNAL)  # the packet is longer than the buffer

    def _address(self, side: int) -> int:
        high = self._registers.get(side + ADDRESS_HIGH, 0)
        return self._registers.get(side + ADDRESS, 0) | high << 32

    def _finish(self, side: int) -> None:
        self._active.discard(side)
        self._registers[side + STATUS] |= IDLE | COMPLETE

    def _fail(self, side: int, error: int) -> None:
        self._active.discard(side)
        self._registers[side + STATUS] |= HALTED | ERROR | error
        self._registers[side + CONTROL] &= ~RUN
