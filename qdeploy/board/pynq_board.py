# SPDX-License-Identifier: Apache-2.0
"""The board as PYNQ offers it: the overlay with its DMA and accelerator, memory, and the clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.board.dma import LENGTH_BITS
from qdeploy.board.transfers import SMALLEST
from qdeploy.errors import ToolError, UserError

if TYPE_CHECKING:
    from typing import Protocol

    from numpy.typing import NDArray

    from qdeploy.board.registers import Registers

    class Buffer(Protocol):
        """Memory that processor and DMA see; each has its own view of it until told."""

        array: NDArray[np.uint8]
        address: int

        def flush(self) -> None:
            """Let the DMA see what the processor wrote."""

        def invalidate(self) -> None:
            """Let the processor see what the DMA wrote."""

        def free(self) -> None:
            """Give the memory back; it must not be used afterwards."""

    class Board(Protocol):
        """What `Accelerator` needs of a board; see `PynqBoard`."""

        name: str
        dma: Registers
        accelerator: Registers
        length_bits: int
        clock_mhz: float

        def load(self, bitstream: Path, clock_mhz: float) -> None:
            """Load a bitstream."""

        def allocate(self, size: int) -> Buffer:
            """Memory for the DMA."""


DMA, ACCELERATOR = "dma", "accelerator"  # instances in the overlay
TOLERANCE = 0.001  # of the clock, which is computed from rounded numbers


class PynqBoard:
    """PYNQ's active device.

    Raises:
        ToolError: if PYNQ is missing or finds no device.

    Attributes:
        name: of the device.
        dma: registers of the DMA, once a bitstream is loaded, as all below.
        accelerator: registers of the accelerator.
        length_bits: bits of the DMA's length registers.
        clock_mhz: clock of the accelerator as the board makes it.
    """

    dma: Registers
    accelerator: Registers
    length_bits: int
    clock_mhz: float

    def __init__(self) -> None:
        with _pynq_errors("find the device"):
            import pynq

            self._pynq = pynq
            self._device = pynq.Device.active_device
            self.name: str = self._device.tag

    def load(self, bitstream: Path, clock_mhz: float) -> None:
        """Load an overlay, which replaces whatever the FPGA held, with its clock.

        Args:
            bitstream: .bit file; its .hwh lies beside it.
            clock_mhz: that the accelerator is good for; slower ones are left as they are.

        Raises:
            UserError: if it is no overlay of qdeploy, or its clock is too fast.
            ToolError: if PYNQ cannot load it.
        """
        with _pynq_errors("load the overlay"):
            overlay = self._pynq.Overlay(str(bitstream), device=self._device)
            blocks = dict(overlay.ip_dict)
        for name in (DMA, ACCELERATOR):
            if name not in blocks:
                raise UserError(
                    f"the overlay has no '{name}', it has {', '.join(sorted(blocks)) or 'nothing'}",
                    remedy="package the build again, with the overlay of 'qdeploy bitstream'",
                )
        self.dma = self._registers(blocks[DMA])
        self.accelerator = self._registers(blocks[ACCELERATOR])
        parameters = {key.lower(): value for key, value in blocks[DMA]["parameters"].items()}
        self.length_bits = int(parameters.get("c_sg_length_width", LENGTH_BITS))
        self.clock_mhz = self._slow_down(clock_mhz)

    def allocate(self, size: int) -> Buffer:
        """Memory for the DMA, at least `size` bytes of it.

        Raises:
            ToolError: if there is none.
        """
        size = max(size, SMALLEST)
        try:
            memory = self._pynq.allocate((size,), np.uint8, target=self._device, cacheable=1)
        except (RuntimeError, MemoryError, OSError) as error:
            raise ToolError(
                "PYNQ",
                f"there are no {size} bytes of contiguous memory: {error}",
                remedy="end other programs that use the FPGA, restart the board, or give Linux "
                "more of it (cma=... on its command line)",
            ) from error
        return _PynqMemory(memory)

    def _registers(self, block: dict[str, Any]) -> Registers:
        with _pynq_errors("map registers"):
            place = block["phys_addr"], block["addr_range"]
            registers: Registers = self._pynq.MMIO(*place, device=self._device)
        return registers

    def _slow_down(self, wanted: float) -> float:
        """Make the overlay's clock no faster than the accelerator is good for; return it."""
        clocks, limit = self._pynq.Clocks, wanted * (1 + TOLERANCE)
        with _pynq_errors("set the clock"):
            found = float(clocks.fclk0_mhz)
            if found > limit:
                clocks.fclk0_mhz = wanted
                found = float(clocks.fclk0_mhz)
        if found > limit:
            raise UserError(
                f"the board makes a clock of {found:g} MHz, the accelerator is good for "
                f"{wanted:g} MHz",
                remedy=f"build it for a clock that the board can make, {found:g} MHz for one",
            )
        return found


class _PynqMemory:
    """A `Buffer` of `pynq.allocate`."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self.address = int(memory.device_address)
        self.array: NDArray[np.uint8] = np.asarray(memory)

    def flush(self) -> None:
        self._memory.flush()

    def invalidate(self) -> None:
        self._memory.invalidate()

    def free(self) -> None:
        self.array = np.zeros(0, np.uint8)  # no view may outlive the memory
        self._memory.freebuffer()


@contextmanager
def _pynq_errors(purpose: str) -> Iterator[None]:
    """PYNQ raises whatever it meets: one clear error of it."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        version = getattr(sys.modules.get("pynq"), "__version__", "unknown")
        raise ToolError(
            f"PYNQ {version}",
            f"cannot {purpose}: {text}",
            remedy="run 'python3 -m qdeploy.board preflight', which says what is missing",
        ) from error
