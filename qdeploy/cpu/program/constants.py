# SPDX-License-Identifier: Apache-2.0
"""The constants of a program: one block of bytes that all kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
# Bytes that kernels may read, never write, behind the constants and behind an arena.
SLACK = 256


def aligned_copy(content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`content` at a multiple of `ALIGNMENT` bytes, uint8."""
    values = np.frombuffer(content, np.uint8)
    room = np.zeros(len(values) + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copy = room[start : start + len(values)]
    copy[:] = values
    return copy


class Constants:
    """Arrays behind each other, each at a multiple of 64 bytes; equal ones only once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    def add(self, values: NDArray[Any]) -> int:
        """Offset of the array in the block."""
        content = np.ascontiguousarray(values).tobytes()
        if content not in self._offsets:
            self._offsets[content] = self._size
            padded = content + bytes(-len(content) % ALIGNMENT)
            self._parts.append(padded)
            self._size += len(padded)
        return self._offsets[content]

    def block(self) -> bytes:
        """All arrays, and zeros, since vectors may be read beyond the end of the last."""
        return b"".join(self._parts) + bytes(SLACK)
