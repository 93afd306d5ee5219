# SPDX-License-Identifier: Apache-2.0
"""Memory of a simulated board, of which the processor, with its caches, has another view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the numpy of older boards has no types
    import numpy.typing as npt

PAGE = 4096
FIRST = 0x1000_0000  # physical address
STALE_HOST, STALE_DEVICE = 0xA5, 0x5A  # what each side sees before anything is written


class DecodeError(Exception):
    """An access of a device where there is no memory."""


class DeviceMemory:
    """Contiguous memory for devices; buffers are apart from each other, freed ones are gone.

    Args:
        size: bytes that can be allocated.
    """

    def __init__(self, size: int = 1 << 26) -> None:
        self.free_bytes = size
        self._next = FIRST
        self._host: dict[int, npt.NDArray[np.uint8]] = {}
        self._device: dict[int, npt.NDArray[np.uint8]] = {}
        self._dirty: set[int] = set()  # what Linux wrote to clear them waits in the cache

    @property
    def buffers(self) -> int:
        """Buffers in use."""
        return len(self._host)

    def allocate(self, size: int) -> tuple[int, npt.NDArray[np.uint8]]:
        """Physical address of a new buffer, and what the processor sees of it: uint8 [size].

        Raises:
            MemoryError: if there is not so much.
        """
        pages = -(-size // PAGE) * PAGE
        if pages > self.free_bytes:
            raise MemoryError(f"{pages} bytes wanted, {self.free_bytes} free")
        self.free_bytes -= pages
        address = self._next
        self._next += pages + PAGE
        self._host[address] = np.full(size, STALE_HOST, np.uint8)
        self._device[address] = np.full(pages, STALE_DEVICE, np.uint8)
        self._dirty.add(address)
        return address, self._host[address]

    def free(self, address: int) -> None:
        """Give back the buffer at `address`."""
        del self._host[address]
        self._dirty.discard(address)
        self.free_bytes += len(self._device.pop(address))

    def flush(self, address: int, offset: int = 0, size: int | None = None) -> None:
        """Let devices see what the processor wrote."""
        part = slice(offset, None if size is None else offset + size)
        host = self._host[address]
        self._device[address][: len(host)][part] = host[part]
        self._dirty.discard(address)

    def invalidate(self, address: int, offset: int = 0, size: int | None = None) -> None:
        """Let the processor see what devices wrote."""
        part = slice(offset, None if size is None else offset + size)
        host = self._host[address]
        host[part] = self._device[address][: len(host)][part]

    def read(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """What a device reads.

        Raises:
            DecodeError: if part of it is no memory.
        """
        start = self._buffer(address, size)
        return self._device[start][address - start : address - start + size].copy()

    def write(self, address: int, data: npt.NDArray[np.uint8]) -> None:
        """What a device writes. In a buffer that was never flushed the cache writes over it.

        Raises:
            DecodeError: if part of it is no memory.
        """
        start = self._buffer(address, len(data))
        if start not in self._dirty:
            self._device[start][address - start : address - start + len(data)] = data

    def _buffer(self, address: int, size: int) -> int:
        for start, content in self._device.items():
            if start <= address and address + size <= start + len(content):
                return start
        raise DecodeError(f"0x{address:08x}, {size} bytes")
