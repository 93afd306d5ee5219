# SPDX-License-Identifier: Apache-2.0
"""AXI DMA in direct register mode (AMD PG021): one transfer per direction at a time.

`pynq.lib.dma` would do, but its waits have no timeout and it cannot be reset.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qdeploy.errors import ToolError

if TYPE_CHECKING:
    from qdeploy.board.registers import Registers

SEND, RECEIVE = 0x00, 0x30  # MM2S and S2MM: the same registers at two places
CONTROL, STATUS, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 1 << 0, 1 << 2  # of CONTROL
HALTED, IDLE = 1 << 0, 1 << 1  # of STATUS
ERRORS = {  # of STATUS; each halts the channel until a reset
    1 << 4: "internal error (a packet longer than the buffer, or a length of 0)",
    1 << 5: "slave error (the memory refused an access)",
    1 << 6: "decode error (no memory at that address)",
}
NAMES = {SEND: "sending (MM2S)", RECEIVE: "receiving (S2MM)"}
RESET_SECONDS = 0.5
LENGTH_BITS = 14  # of LENGTH, where the overlay does not say


class Dma:
    """Both channels of a DMA.

    Args:
        registers: of the DMA.
        length_bits: bits of its length registers ("width of buffer length register").
    """

    def __init__(self, registers: Registers, length_bits: int = LENGTH_BITS) -> None:
        self._registers = registers
        self.max_bytes = (1 << length_bits) - 1

    def reset(self) -> None:
        """Give up transfers and forget errors, of both channels.

        Raises:
            ToolError: if the DMA stays in reset, as it does while an access to memory hangs.
        """
        self._registers.write(SEND + CONTROL, RESET)  # either channel resets both
        end = time.monotonic() + RESET_SECONDS
        while any(self._registers.read(side + CONTROL) & RESET for side in NAMES):
            if time.monotonic() > end:
                raise ToolError(
                    "DMA",
                    f"it did not leave reset within {RESET_SECONDS} s",
                    remedy="call again, which loads the bitstream again; if that does not help, "
                    "restart the board",
                )

    def start(self, side: int, address: int, size: int) -> None:
        """Begin a transfer of `size` bytes from (SEND) or to (RECEIVE) physical `address`.

        Raises:
            ToolError: if the channel does not start.
        """
        registers = self._registers
        registers.write(side + CONTROL, RUN)
        end = time.monotonic() + RESET_SECONDS
        while registers.read(side + STATUS) & HALTED:
            if time.monotonic() > end:
                self._finished(side)
                raise ToolError("DMA", f"{NAMES[side]} does not start", remedy="call again")
        registers.write(side + ADDRESS, address & 0xFFFFFFFF)
        registers.write(side + ADDRESS_HIGH, address >> 32)
        registers.write(side + LENGTH, size)

    def finished(self) -> bool:
        """Whether the transfers of both channels are over.

        Raises:
            ToolError: if one failed.
        """
        sent, received = self._finished(SEND), self._finished(RECEIVE)
        return sent and received

    def _finished(self, side: int) -> bool:
        status = self._registers.read(side + STATUS)
        if any(status & bit for bit in ERRORS):
            raise ToolError(
                "DMA",
                f"{NAMES[side]} failed: {_words(status)}",
                remedy="call again; if it fails again, the bitstream does not belong to this "
                "package or the memory does not belong to this process",
            )
        return bool(status & IDLE)

    def received(self) -> int:
        """Bytes of the packet that the finished transfer has received."""
        return self._registers.read(RECEIVE + LENGTH)

    def describe(self) -> str:
        """The state of both channels in words."""
        return "; ".join(
            f"{name} {_words(self._registers.read(side + STATUS))}" for side, name in NAMES.items()
        )


def _words(status: int) -> str:
    errors = [text for bit, text in ERRORS.items() if status & bit]
    state = "halted" if status & HALTED else "idle" if status & IDLE else "busy"
    return ", ".join([state, *errors])
