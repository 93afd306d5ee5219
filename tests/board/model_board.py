# SPDX-License-Identifier: Apache-2.0
"""A board without PYNQ: registers, DMA, memory and clock in Python (3.8 too)."""

from __future__ import annotations

import os
from pathlib import Path

from shell_model import ShellModel

from qdeploy.simulation.axi_dma import AxiDma
from qdeploy.simulation.device_memory import DeviceMemory

ACCESS_SECONDS = 1e-5  # of a register


class ModelRegisters:
    """Registers of a part of the board; cycles and time pass with every access."""

    def __init__(self, board: ModelBoard, part: ShellModel | AxiDma) -> None:
        self.board, self.part = board, part

    def read(self, offset: int) -> int:
        self.board.access()
        return self.part.read(offset)

    def write(self, offset: int, value: int) -> None:
        self.board.access()
        self.part.write(offset, value)


class ModelBuffer:
    """Memory with two views."""

    def __init__(self, memory: DeviceMemory, size: int) -> None:
        self.memory = memory
        self.address, self.array = memory.allocate(size)

    def flush(self) -> None:
        self.memory.flush(self.address)

    def invalidate(self) -> None:
        self.memory.invalidate(self.address)

    def free(self) -> None:
        self.memory.free(self.address)


class ModelTime:
    """In the place of the module `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ModelBoard:
    """Satisfies `qdeploy.board.pynq_board.Board`."""

    Buffer = ModelBuffer
    length_bits = 26

    def __init__(self, shell: ShellModel, memory: int = 1 << 26, pace: int = 50) -> None:
        self.name = f"model{os.getpid()}"
        self.shell = shell
        self.memory = DeviceMemory(memory)
        self.pace = pace
        self.time = ModelTime()
        self.loads = 0
        self.engine = AxiDma(shell, self.memory)
        self.clock_mhz = 0.0

    def access(self) -> None:
        self.shell.step(self.pace)
        self.time.now += ACCESS_SECONDS

    def load(self, bitstream: Path, clock_mhz: float) -> None:
        assert bitstream.is_file()
        assert bitstream.with_suffix(".hwh").is_file()
        self.clock_mhz = clock_mhz
        self.loads += 1
        self.engine.hangs = False
        self.engine.write(0, 4)
        self.shell.write(8, 1)
        self.shell.write(8, 0)
        self.dma = ModelRegisters(self, self.engine)
        self.accelerator = ModelRegisters(self, self.shell)

    def allocate(self, size: int) -> ModelBuffer:
        return self.Buffer(self.memory, size)
