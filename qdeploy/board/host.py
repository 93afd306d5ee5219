# SPDX-License-Identifier: Apache-2.0
"""Whether this machine can run a package: each condition, what was found, and the remedy."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.board.transfers import BUFFER_BYTES, BUFFERS, SMALLEST, frames_per_transfer
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from qdeploy.board.package import Package

BITSTREAM, HANDOFF = "board.bit", "board.hwh"  # files of a package

ZYNQ, ZYNQMP = "Zynq-7000", "Zynq UltraScale+"
MACHINES = {ZYNQ: "armv7l", ZYNQMP: "aarch64"}
TESTED = {ZYNQ: ("3.0", "3.1"), ZYNQMP: ("3.0", "3.1", "4.0")}  # versions of PYNQ
_SOURCE = "source /etc/profile.d/xrt_setup.sh and pynq_venv.sh there, or use 'sudo -i'"


@dataclass(frozen=True)
class Check:
    """One condition.

    Attributes:
        name: what it is about.
        found: what is there.
        remedy: what to do if it is not met, else empty.
    """

    name: str
    found: str
    remedy: str = ""

    @property
    def met(self) -> bool:
        """Whether the accelerator can run, as far as this goes."""
        return not self.remedy


@dataclass(frozen=True)
class Host:
    """What a machine is like, for `check_host`.

    Attributes:
        machine: as `platform.machine` says.
        python: version.
        root: whether this process is the superuser.
        xrt: environment variable XILINX_XRT.
        pynq: its version, None if it is not installed.
        maps_memory: whether PYNQ's device is the FPGA beside this processor.
        memory: free contiguous memory (CMA) in bytes, None if Linux has none.
    """

    machine: str
    python: tuple[int, int]
    root: bool
    xrt: str
    pynq: str | None
    maps_memory: bool
    memory: int | None


def this_host() -> Host:
    """What this machine is like. Imports PYNQ if it is there."""
    version, maps_memory = None, True
    if find_spec("pynq"):
        version = "unknown"
        with suppress(Exception):  # without device or environment it fails in many ways
            import pynq

            version = str(pynq.__version__)
            maps_memory = bool(pynq.Device.active_device.has_capability("MEMORY_MAPPED"))
    return Host(
        platform.machine(),
        sys.version_info[:2],
        os.geteuid() == 0,
        os.environ.get("XILINX_XRT", ""),
        version,
        maps_memory,
        _free_memory(),
    )


def check_host(package: Package, host: Host) -> list[Check]:
    """The conditions that can be seen without touching the FPGA."""
    board = package.manifest.board
    if board is None or package.manifest.build is None or BITSTREAM not in package:
        remedy = "make one with 'qdeploy bitstream' and package again, or use --device cpu"
        return [Check("package", f"{package.path.name} holds no bitstream", remedy)]
    family = ZYNQ if board.part.startswith("xc7z") else ZYNQMP
    python = ".".join(map(str, host.python))
    checks = [
        Check("package", f"{package.manifest.name} for {board.name} ({board.part})"),
        Check("Python", python, "" if host.python >= (3, 8) else "use Python 3.8 or newer"),
        _check_pynq(host.pynq, family),
    ]
    if not host.maps_memory:
        return [*checks, Check("device", "not the FPGA of this machine, but one that PYNQ reaches")]
    fits = host.machine == MACHINES[family]
    needed, free = _needed_memory(package), host.memory or 0
    return [
        *checks,
        Check("processor", host.machine, "" if fits else f"the package is for {MACHINES[family]}"),
        Check("user", "root" if host.root else "not root", "" if host.root else "use 'sudo -i'"),
        Check("XILINX_XRT", host.xrt or "not set", "" if host.xrt else _SOURCE),
        Check(
            "contiguous memory",
            f"{free >> 10} KiB free, {needed >> 10} KiB needed",
            "end other programs that use the FPGA, restart, or give Linux more (cma=64M on its "
            "command line)"
            if free < needed
            else "",
        ),
    ]


def require(checks: list[Check]) -> None:
    """Stop at the first condition that is not met.

    Raises:
        UserError: that says which.
    """
    for check in checks:
        if not check.met:
            raise UserError(f"{check.name}: {check.found}", remedy=check.remedy)


def _check_pynq(version: str | None, family: str) -> Check:
    if version is None:
        remedy = f"use PYNQ's own Python: {_SOURCE}"
        return Check("PYNQ", "not installed for this Python", remedy)
    tested = TESTED[family]
    major = version.split(".")[0]
    if family == ZYNQ and major.isdigit() and int(major) >= 4:
        remedy = "use a PYNQ 3.1 image"
        return Check("PYNQ", f"{version}, which cannot load overlays of {ZYNQ}", remedy)
    known = version.startswith(tuple(f"{number}." for number in tested))
    return Check("PYNQ", version if known else f"{version}, not tested ({', '.join(tested)} are)")


def _needed_memory(package: Package) -> int:
    """Bytes of contiguous memory that the accelerator takes."""
    streams = package.manifest.streams
    assert streams is not None
    frames = frames_per_transfer(package.manifest, BUFFER_BYTES)
    sizes = (frames * stream.frame_bytes for stream in (streams.input, streams.output))
    return BUFFERS // 2 * sum(max(size, SMALLEST) for size in sizes)


def _free_memory() -> int | None:
    """Bytes of free CMA."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("CmaFree:"):
            return int(line.split()[1]) << 10
    return None
