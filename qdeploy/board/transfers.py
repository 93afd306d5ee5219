# SPDX-License-Identifier: Apache-2.0
"""How much goes through the DMA at once, and the memory of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.errors import UserError

if TYPE_CHECKING:  # the numpy of older boards has no types
    import numpy as np
    from numpy.typing import NDArray

    from qdeploy.board.manifest import Manifest
    from qdeploy.board.pynq_board import Buffer

BUFFERS = 4  # two for each direction: one moves while the other is filled or emptied
BUFFER_BYTES = 1 << 20  # at most
SECONDS = 0.01  # about: what is packed meanwhile is the next transfer, so several shall fit a batch
SMALLEST = 8192  # bytes; XRT 2.17 places smaller buffers where a 32-bit DMA does not reach


def frames_per_transfer(manifest: Manifest, max_bytes: int) -> int:
    """Frames that go through the DMA at once.

    Args:
        manifest: of a package with an accelerator.
        max_bytes: that the DMA moves at once.

    Raises:
        UserError: if it does not move a whole frame.
    """
    board, streams, cycles = manifest.board, manifest.streams, manifest.cycles_per_frame
    assert board is not None
    assert streams is not None
    largest = max(streams.input.frame_bytes, streams.output.frame_bytes)
    if largest > max_bytes:
        raise UserError(
            f"a frame has {largest} bytes, the DMA moves {max_bytes} at once",
            remedy="build the bitstream with wider length registers of the DMA",
        )
    in_time = int(SECONDS * 1e6 * board.clock_mhz / (cycles or 1))
    return max(1, min(in_time, min(BUFFER_BYTES, max_bytes) // largest))


class Transfer:
    """Frames on their way through the accelerator: memory for both directions.

    Args:
        sent: for frames that go in.
        received: for frames that come out.
    """

    def __init__(self, sent: Buffer, received: Buffer) -> None:
        self.sent = sent
        self.received = received
        self.frames = 0
        received.flush()  # nothing that was written there before may arrive later

    def fill(self, frames: NDArray[np.uint8]) -> None:
        """Take the frames [N, bytes] that go in."""
        self.frames = len(frames)
        self.sent.array[: frames.size] = frames.ravel()
        self.sent.flush()

    def outputs(self, frame_bytes: int) -> NDArray[np.uint8]:
        """The frames [N, frame_bytes] that came out."""
        self.received.invalidate()
        return self.received.array[: self.frames * frame_bytes].reshape(self.frames, frame_bytes)
