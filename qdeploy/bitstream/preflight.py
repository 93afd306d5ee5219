# SPDX-License-Identifier: Apache-2.0
"""What would fail after an hour of Vivado, seen within a second; nothing is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qdeploy.bitstream.vivado import Installation
from qdeploy.errors import UserError
from qdeploy.fpga.board import Board

NEEDED_GIGABYTES = 3  # of a whole project, logs and reports included
# Beginnings of parts that Vivado Standard builds without a licence (UG973).
_FREE = (
    *("xc7z007s", "xc7z010", "xc7z012s", "xc7z014s", "xc7z015", "xc7z020", "xc7z030"),
    *("xczu1", "xczu2c", "xczu2e", "xczu3", "xczu4", "xczu5", "xczu7", "xck24", "xck26"),
)
_LICENCE_VARIABLES = ("XILINXD_LICENSE_FILE", "LM_LICENSE_FILE")


def check(installation: Installation, board: Board, folder: Path) -> None:
    """See that this Vivado can build for the board in `folder`.

    Raises:
        UserError: if not.
    """
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_GIGABYTES:
        raise UserError(
            f"{folder} has {free:.1f} GB free; a bitstream needs {NEEDED_GIGABYTES} GB",
            remedy="free some, or move the build folder to another disk",
        )
    family = "zynq" if board.processor == "zynq7" else "zynquplus"
    parts = installation.folder / "data" / "parts" / "xilinx"
    if parts.is_dir() and not (parts / family).is_dir():
        raise UserError(
            f"{installation.folder} lacks the devices of {board.name} ({board.part})",
            remedy="add "
            + ("'Zynq-7000'" if family == "zynq" else "'Zynq UltraScale+ MPSoC'")
            + " with Vivado's installer ('Add Design Tools or Devices')",
        )
    if not board.part.startswith(_FREE) and not licensed():
        raise UserError(
            f"{board.name} ({board.part}) needs a licence of Vivado and there is none",
            remedy=f"set {_LICENCE_VARIABLES[0]} to the licence file",
        )


def licence_files() -> list[Path]:
    """Licence files and folders that the environment names or ~/.Xilinx holds."""
    paths = [Path(part).absolute() for part in _named() if Path(part).exists()]
    home = Path.home() / ".Xilinx"
    return [*dict.fromkeys(paths), *([home] if any(home.glob("*.lic")) else [])]


def licensed() -> bool:
    """Whether there is a licence file or the environment names a licence server."""
    return bool(licence_files()) or any("@" in part for part in _named())


def remarks(installation: Installation, board: Board) -> Iterator[str]:
    """What does not stop a build but should be known."""
    if not set(board.pynq) & set(installation.version.pynq):
        yield (
            f"Vivado {installation.number} goes with PYNQ {', '.join(installation.version.pynq)}; "
            f"{board.name} has images {', '.join(board.pynq)}, whose software may not read its .hwh"
        )
    vendor, name = board.board_part.split(":")[:2]
    data = installation.folder / "data"
    stores = (data / "boards", data / "xhub" / "boards", Path.home() / ".Xilinx" / "Vivado")
    if not any(found for store in stores for found in store.rglob(name)):
        yield (
            f"the files of board {vendor}:{name} were not found; the processor is set up from "
            "hw/boards, which is enough for a board that Linux has started"
        )


def _named() -> list[str]:
    values = [os.environ.get(name, "") for name in _LICENCE_VARIABLES]
    return [part for value in values for part in value.split(":") if part]
