# SPDX-License-Identifier: Apache-2.0
"""A board for an unmodified PYNQ whose FPGA is a verilated shell: the board's own driver runs here.

pynq.Device.active_device = SimulatedDevice(lambda: ShellSimulator(shared_object, rtl))
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pynq.ps
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.pl_server.embedded_device import bit2bin, parse_bit_header
from pynqmetadata.frontends import Metadata

from qdeploy.simulation.axi_dma import AxiDma
from qdeploy.simulation.device_memory import DeviceMemory
from qdeploy.simulation.overlay import BLOCKS, LENGTH_BITS, RANGE, ZYNQ, Family

if TYPE_CHECKING:
    from qdeploy.simulation.shell import ShellSimulator

try:
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
except ImportError:  # PYNQ 4
    from pynqmetadata.views.runtime import RuntimeMetadataParser

CYCLES = 1000  # of the accelerator between two accesses of the processor to its registers


class SimulatedDevice(Device):  # type: ignore[misc]  # PYNQ has no types
    """What PYNQ calls a device. Its accelerator exists once a bitstream is loaded.

    Args:
        simulator: makes a shell in the state after the bitstream was loaded.
        family: of the chip.
        name: of the device; two processes with devices of one name get into each other's way.
        memory: bytes of contiguous memory.
        cycles: of the accelerator between two accesses of the processor to its registers.

    Attributes:
        dma: model of the DMA, None before a bitstream is loaded.
        shell: the accelerator, likewise.
        memory: contiguous memory.
        downloads: parts of the loaded bitstreams.
    """

    def __init__(
        self,
        simulator: Callable[[], ShellSimulator],
        *,
        family: Family = ZYNQ,
        name: str = "simulated",
        memory: int = 1 << 26,
        cycles: int = CYCLES,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.arch = family.machine
        pynq.ps.CPU_ARCH = family.machine  # PYNQ 3.0 asks there
        self.capabilities = {"REGISTER_RW": True}
        self.memory = DeviceMemory(memory)
        self.cycles = cycles
        self.downloads: list[str] = []
        self.shell: ShellSimulator | None = None
        self.dma: AxiDma | None = None
        self._simulator = simulator
        self._addresses: dict[str, int] = {}
        self._clocks = _clock_registers(family)

    def has_capability(self, name: str) -> bool:
        """Whether the device can do what PYNQ calls `name`."""
        return self.capabilities.get(name, False)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What the handoff beside a bitstream says, read by PYNQ."""
        path = Path(bitfile_name)
        parser = RuntimeMetadataParser(Metadata(input=path.with_suffix(".hwh")))
        parser.refresh_hierarchy_dict()
        parser.bin_data = bit2bin(path.read_bytes())
        parser.xclbin_data = parser.dtbo_data = None
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load a bitstream: the accelerator is as after power-on."""
        header = parse_bit_header(Path(bitstream.bitfile_name).read_bytes())
        self.downloads.append(header["part"])
        self.shell = self._simulator()
        self.dma = AxiDma(self.shell, self.memory, LENGTH_BITS)
        blocks = parser.ip_dict.items()
        self._addresses = {name: block["phys_addr"] for name, block in blocks if name in BLOCKS}

    def read_registers(self, address: int, length: int) -> bytes:
        """Registers as bytes."""
        words = (self._read(address + place) for place in range(0, length, 4))
        return b"".join(struct.pack("<I", word) for word in words)

    def write_registers(self, address: int, data: bytes) -> None:
        """Set registers."""
        for place, (word,) in enumerate(struct.iter_unpack("<I", bytes(data))):
            self._write(address + 4 * place, word)

    def allocate(self, shape: Any, dtype: Any, cacheable: int = 0, **_: Any) -> Any:
        """A `PynqBuffer` that processor and DMA see differently."""
        if not cacheable:
            raise RuntimeError("this device has cacheable memory alone")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address, host = self.memory.allocate(size)
        place = {"device": self, "device_address": address, "bo": address}
        buffer = PynqBuffer(shape, dtype, buffer=host, coherent=False, **place)
        buffer.memory, buffer.pointer, buffer.return_to = self.memory, address, self
        buffer.freed = True  # as memory of XRT, which it is not
        return buffer

    def return_pointer(self, address: int) -> None:
        """Free a buffer."""
        self.memory.free(address)

    def flush(self, bo: int, offset: int, address: int, size: int) -> None:
        """Let the DMA see what the processor wrote."""
        self.memory.flush(bo, offset, size)

    def invalidate(self, bo: int, offset: int, address: int, size: int) -> None:
        """Let the processor see what the DMA wrote."""
        self.memory.invalidate(bo, offset, size)

    def _part(self, address: int) -> tuple[AxiDma | ShellSimulator, int] | None:
        """The block at an address, after some time, and the offset in it."""
        for name, base in self._addresses.items():
            if base <= address < base + RANGE:
                assert self.shell is not None
                assert self.dma is not None
                self.shell.step(self.cycles)
                self.dma.update()
                return self.dma if name == "dma" else self.shell, address - base
        return None

    def _read(self, address: int) -> int:
        part = self._part(address)
        return part[0].read(part[1]) if part else self._clocks.get(address, 0)

    def _write(self, address: int, value: int) -> None:
        part = self._part(address)
        if part:
            part[0].write(part[1], value)
        else:
            self._clocks[address] = value


def _clock_registers(family: Family) -> dict[int, int]:
    """The clock generator after reset: PLLs run, clocks of the FPGA are slow."""
    slow = 0x3F << 8 | 1 << 20
    if family is ZYNQ:
        base = 0xF800_0000
        plls = {base + place: 20 << 12 for place in (0x100, 0x104, 0x108)}
        return plls | {base + place: slow for place in (0x170, 0x180, 0x190, 0x1A0)}
    base = 0xFF5E_0000
    return {base + 0x20: 45 << 8} | {
        base + place: 0x3F << 8 | 1 << 16 | 1 << 24 for place in (0xC0, 0xC4, 0xC8, 0xCC)
    }
