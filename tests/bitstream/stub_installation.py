# SPDX-License-Identifier: Apache-2.0
"""A folder that looks like an installed Vivado and holds the stub (see stub_vivado/vivado.tcl)."""

from __future__ import annotations

import shutil
from pathlib import Path

STUB = Path(__file__).with_name("stub_vivado")
_PROGRAM = """\
#!/bin/sh
XILINX_VIVADO="$(dirname "$(dirname "$(readlink -f "$0")")")"
export XILINX_VIVADO
exec tclsh "$XILINX_VIVADO/stub/vivado.tcl" {version} "$@"
"""


def install(folder: Path, version: str) -> Path:
    """Write bin/vivado, settings64.sh and what they need; returns the program.

    Args:
        folder: of the installation; what it holds works when it is moved or mounted elsewhere.
        version: that it claims to be.
    """
    shutil.copytree(STUB, folder / "stub")
    program = folder / "bin" / "vivado"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(version=version))
    program.chmod(0o755)
    (folder / "settings64.sh").write_text(
        f'export XILINX_VIVADO="{folder}"\nexport PATH="$XILINX_VIVADO/bin:$PATH"\n'
    )
    return program
