# SPDX-License-Identifier: Apache-2.0
"""The registers of the accelerator's shell, and what they tell about a standstill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qdeploy.errors import UserError

if TYPE_CHECKING:
    from typing import Protocol

    class Registers(Protocol):
        """32-bit registers by byte offset."""

        def read(self, offset: int) -> int:
            """The value of a register."""

        def write(self, offset: int, value: int) -> None:
            """Set a register."""


IDENTITY, VERSION, CONTROL, STATUS = 0x00, 0x04, 0x08, 0x0C
BUILD, BUILD_WORDS = 0x10, 8
FRAMES_IN, FRAMES_OUT, FRAMES_PER_PACKET = 0x30, 0x34, 0x38
STREAMS, CYCLES = 0x3C, 0x40
STALLED, STATE, STREAM_STEP = 0x100, 0x104, 8
IS_ACCELERATOR, TABLE = 0x51445031, 1  # values of IDENTITY and VERSION
SOFT_RESET = 1 << 0  # of CONTROL
VALID, READY, MOVED = 1 << 0, 1 << 1, 1 << 2  # of STATE


class StreamState(NamedTuple):
    """A stream now: what STATE and STALLED say."""

    name: str
    valid: bool
    ready: bool
    moved: bool
    stalled: int

    @property
    def full(self) -> bool:
        """A word waits that nobody takes."""
        return self.valid and not self.ready

    def __str__(self) -> str:
        state = "full" if self.full else "empty" if not self.valid else "moving"
        past = f", {self.stalled} cycles stalled" if self.stalled else ""
        return f"'{self.name}' {state}{past}{'' if self.moved else ', never used'}"


class ShellRegisters:
    """The register file of an accelerator.

    Args:
        registers: of the accelerator.
        stream_names: of the observed streams, in the order of the data.
    """

    def __init__(self, registers: Registers, stream_names: Sequence[str]) -> None:
        self._registers = registers
        self._names = stream_names

    def check(self, build: str) -> None:
        """See that the FPGA holds the accelerator that the package describes.

        Args:
            build: hash of the build, 64 hexadecimal digits.

        Raises:
            UserError: if it holds something else.
        """
        again = "package the build again, with its own bitstream"
        identity, table = (self._registers.read(offset) for offset in (IDENTITY, VERSION))
        if identity != IS_ACCELERATOR:
            problem = f"the bitstream holds no accelerator of qdeploy (identity 0x{identity:08x})"
            raise UserError(problem, remedy=again)
        if table != TABLE:
            raise UserError(
                f"the bitstream has registers of version {table}, this qdeploy knows {TABLE}",
                remedy="install the qdeploy that made the package",
            )
        words = (self._registers.read(BUILD + 4 * index) for index in range(BUILD_WORDS))
        loaded = "".join(f"{word:08x}" for word in words)
        if loaded != build:
            raise UserError(
                f"the bitstream is of build {loaded[:12]}..., the package of {build[:12]}...",
                remedy=again,
            )
        streams = self._registers.read(STREAMS)
        if streams != len(self._names):
            raise UserError(
                f"the bitstream has {streams} streams, the package names {len(self._names)}",
                remedy=again,
            )

    def hold(self) -> None:
        """Put the accelerator into reset, where it stays."""
        self._registers.write(CONTROL, SOFT_RESET)

    def release(self) -> None:
        """End the reset."""
        self._registers.write(CONTROL, 0)

    def set_packet(self, frames: int) -> None:
        """Let every `frames`-th frame from now on end a packet of the output."""
        self._registers.write(FRAMES_PER_PACKET, frames)

    def frames(self) -> tuple[int, int]:
        """Whole frames taken and given since the last reset."""
        return self._registers.read(FRAMES_IN), self._registers.read(FRAMES_OUT)

    def streams(self) -> list[StreamState]:
        """All observed streams, in the order of the data."""
        states = []
        for index, name in enumerate(self._names):
            place = STREAM_STEP * index
            stalled = self._registers.read(STALLED + place)
            state = self._registers.read(STATE + place)
            valid, ready, moved = (bool(state & bit) for bit in (VALID, READY, MOVED))
            states.append(StreamState(name, valid, ready, moved, stalled))
        return states

    def explain_standstill(self) -> str:
        """Where an accelerator stands still in which nothing moves, for people."""
        states = self.streams()
        taken, given = self.frames()
        counts = f"since the last reset {taken} frames went in and {given} came out"
        full = [index for index, state in enumerate(states) if state.full]
        used = [index for index, state in enumerate(states) if state.moved]
        if full and full[-1] == len(states) - 1:
            place = f"stream '{states[-1].name}' is full: the DMA does not take the results"
        elif full:
            stuck, after = states[full[-1]], states[full[-1] + 1]
            place = f"stream '{stuck.name}' is stuck: it is full, but '{after.name}' behind is not"
        elif used and used[-1] < len(states) - 1:
            last, after = states[used[-1]], states[used[-1] + 1]
            place = f"no stream is full; words went over '{last.name}', never over '{after.name}'"
        else:
            place = "no stream holds a word: the accelerator waits for its input"
        lines = "".join(f"\n    {state}" for state in states)
        return f"{place}; {counts}\n  Streams:{lines}"
