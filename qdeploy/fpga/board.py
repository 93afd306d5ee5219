# SPDX-License-Identifier: Apache-2.0
"""Boards: part, resources and clock, one TOML file each in hw/boards."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from qdeploy.errors import UserError
from qdeploy.files import shipped_folder


class Resources(BaseModel):
    """What a part has, in the units of its data sheet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lut: PositiveInt
    ff: PositiveInt
    bram36: PositiveInt
    dsp: PositiveInt


class Board(BaseModel):
    """One file of hw/boards.

    Attributes:
        name: for people.
        part: the part as Vivado writes it.
        family: the family as Yosys' synth_xilinx writes it.
        finn_board: the board as FINN writes it.
        clock_mhz: clock of the accelerator.
        resources: what the part has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    part: str
    family: str
    finn_board: str
    clock_mhz: PositiveFloat
    resources: Resources


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
