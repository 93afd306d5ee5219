# SPDX-License-Identifier: Apache-2.0
"""The installed Vivado: where it is, its version, and what qdeploy knows of that version."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qdeploy.errors import UserError

_NUMBER = re.compile(r"20\d\d\.\d")
_CHOOSE = "give --vivado FOLDER, for instance --vivado /tools/Xilinx/Vivado/2024.1"


class Version(BaseModel):
    """One version of versions.toml.

    Attributes:
        base: base of the Docker image, a system that this version runs on.
        pynq: images of PYNQ that its bitstreams are for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    pynq: tuple[str, ...]


@dataclass(frozen=True)
class Installation:
    """A folder with bin/vivado.

    Attributes:
        folder: absolute, as it was named: Vivado's scripts contain that path.
        number: version, "2024.1".
        version: what is known of it.
    """

    folder: Path
    number: str
    version: Version

    @property
    def program(self) -> Path:
        """The program."""
        return self.folder / "bin" / "vivado"


def versions() -> dict[str, Version]:
    """The table of supported versions, oldest first."""
    table = tomllib.loads(Path(__file__).with_name("versions.toml").read_text())
    return {number: Version.model_validate(entry) for number, entry in table.items()}


def find_vivado(folder: Path | None) -> Installation:
    """Vivado in `folder`, else in $XILINX_VIVADO, else on PATH; nothing is started.

    Raises:
        UserError: if there is none, or its version is not in the table.
    """
    if folder is None:
        folder = _from_environment()
    folder = folder.absolute()
    if not (folder / "bin" / "vivado").is_file():
        inside = sorted(folder.glob("20*/bin/vivado")) + sorted(folder.glob("Vivado/bin/vivado"))
        nearest = f"; did you mean {inside[-1].parent.parent}?" if inside else ""
        raise UserError(f"{folder} holds no bin/vivado{nearest}", remedy=_CHOOSE)
    # 2024.2 and older: .../Vivado/2024.2; newer: .../2025.1/Vivado.
    found = _NUMBER.findall(str(folder)) or _NUMBER.findall(str(folder.resolve()))
    known = versions()
    number = found[-1] if found else "unknown"
    if number not in known:
        raise UserError(
            f"the Vivado in {folder} has version {number}; qdeploy supports {', '.join(known)}",
            remedy="install one of these and give --vivado FOLDER, with the version in its path",
        )
    return Installation(folder, number, known[number])


def _from_environment() -> Path:
    if named := os.environ.get("XILINX_VIVADO"):
        return Path(named)
    if program := shutil.which("vivado"):
        return Path(program).resolve().parent.parent
    raise UserError("there is no Vivado: neither XILINX_VIVADO nor PATH name one", remedy=_CHOOSE)
