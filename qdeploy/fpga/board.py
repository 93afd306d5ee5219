# SPDX-License-Identifier: Apache-2.0
"""Boards: part, resources, clock and what Vivado must know, one TOML file each in hw/boards."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from qdeploy.errors import UserError
from qdeploy.files import shipped_folder

REGISTERS_SIZE = 1 << 16  # bytes of addresses of the DMA, and of the accelerator
# Addresses that the processor's port for registers reaches.
_REGISTERS = {"zynq7": (0x4000_0000, 0x8000_0000), "zynqmp": (0xA000_0000, 0xB000_0000)}


class Resources(BaseModel):
    """What a part has, in the units of its data sheet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lut: PositiveInt
    ff: PositiveInt
    bram36: PositiveInt
    dsp: PositiveInt


class Memory(BaseModel):
    """A region of the processor's memory, bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: NonNegativeInt
    size: PositiveInt


class Board(BaseModel):
    """One file of hw/boards.

    Attributes:
        name: for people.
        part: the part as Vivado writes it.
        family: the family as Yosys' synth_xilinx writes it.
        finn_board: the board as FINN writes it, if FINN has it.
        clock_mhz: clock of the accelerator.
        pynq: versions of PYNQ that have an image for it.
        board_part: the board as Vivado writes it, without its revision.
        processor: "zynq7" (Zynq-7000) or "zynqmp" (Zynq UltraScale+), files of hw/vivado.
        dma_address: of the registers of the DMA.
        accelerator_address: of the registers of the accelerator.
        resources: what the part has.
        memory: what the DMA reaches.
        preset: settings of the processor where Vivado lacks the files of the board.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    part: str
    family: str
    finn_board: str | None = None
    clock_mhz: PositiveFloat
    pynq: tuple[str, ...]
    board_part: str
    processor: Literal["zynq7", "zynqmp"]
    dma_address: NonNegativeInt
    accelerator_address: NonNegativeInt
    resources: Resources
    memory: tuple[Memory, ...]
    preset: dict[str, str]

    @model_validator(mode="after")
    def _addresses(self) -> Board:
        first, end = _REGISTERS[self.processor]
        for address in (self.dma_address, self.accelerator_address):
            if address % REGISTERS_SIZE or not first <= address <= end - REGISTERS_SIZE:
                raise ValueError(
                    f"registers at {address:#x}: {self.processor} reaches {first:#x} to "
                    f"{end - 1:#x}, in steps of {REGISTERS_SIZE:#x}"
                )
        if self.dma_address == self.accelerator_address:
            raise ValueError(f"DMA and accelerator are both at {self.dma_address:#x}")
        regions = sorted((memory.base, memory.base + memory.size) for memory in self.memory)
        if any(one[1] > other[0] for one, other in pairwise(regions)):
            raise ValueError("regions of memory overlap")
        return self


def hardware_directory() -> Path:
    """The folder `hw`."""
    return shipped_folder("hw")


def load_board(name: str) -> Board:
    """The board of file hw/boards/<name>.toml.

    Raises:
        UserError: if there is no such board or its file is wrong.
    """
    files = {path.stem: path for path in (hardware_directory() / "boards").glob("*.toml")}
    if name not in files:
        raise UserError(f"unknown board '{name}'", remedy=f"use one of: {', '.join(sorted(files))}")
    try:
        return Board.model_validate(tomllib.loads(files[name].read_text()))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UserError(f"{files[name]}: {error}", remedy="correct the file") from error


def board_named(name: str) -> Board:
    """The board that people call `name`, as a report does.

    Raises:
        UserError: if no file in hw/boards has that name.
    """
    files = sorted((hardware_directory() / "boards").glob("*.toml"))
    boards = [load_board(file.stem) for file in files]
    for board in boards:
        if board.name == name:
            return board
    known = ", ".join(board.name for board in boards)
    raise UserError(f"there is no file of board '{name}'", remedy=f"hw/boards has {known}")
