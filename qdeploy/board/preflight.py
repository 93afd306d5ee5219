# SPDX-License-Identifier: Apache-2.0
"""All conditions of running a package on this board, those inside the FPGA included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.board.accelerator import Accelerator
from qdeploy.board.host import Check, check_host, this_host
from qdeploy.errors import QdeployError

if TYPE_CHECKING:
    from qdeploy.board.package import Package


def preflight(package: Package) -> list[Check]:
    """Check everything; the bitstream is loaded if nothing else is in the way.

    Args:
        package: that shall run.
    """
    checks = check_host(package, this_host())
    if not all(check.met for check in checks):
        return checks
    try:
        with Accelerator(package) as accelerator:
            clock = accelerator.clock_mhz
    except QdeployError as error:
        problem, _, remedy = str(error).partition("\n  What to do: ")
        return [*checks, Check("bitstream", problem, remedy or "see there")]
    build, board = package.manifest.build, package.manifest.board
    assert build is not None
    assert board is not None
    return [
        *checks,
        Check("bitstream", f"loaded; its registers say build {build[:12]}..., as the package"),
        Check("clock", f"{clock:g} MHz, {board.clock_mhz:g} MHz promised"),
    ]
