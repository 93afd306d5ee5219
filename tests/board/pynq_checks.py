# SPDX-License-Identifier: Apache-2.0
"""What must hold with an unmodified PYNQ whose FPGA is a verilated accelerator; a script.

    python pynq_checks.py FOLDER BOARD

FOLDER is that of a `Rehearsal`, with x.npy, integers.npy and reals.npy.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

warnings.simplefilter("ignore")
import pynq  # noqa: E402
from runtime_checks import raises  # noqa: E402

import qdeploy  # noqa: E402
from qdeploy.board import bench  # noqa: E402
from qdeploy.board.__main__ import main  # noqa: E402
from qdeploy.board.accelerator import Accelerator  # noqa: E402
from qdeploy.board.host import HANDOFF  # noqa: E402
from qdeploy.board.package import Package, open_package  # noqa: E402
from qdeploy.board.preflight import preflight  # noqa: E402
from qdeploy.errors import ToolError, UserError  # noqa: E402
from qdeploy.simulation import axi_dma  # noqa: E402
from qdeploy.simulation.overlay import family_of  # noqa: E402
from qdeploy.simulation.pynq_device import SimulatedDevice  # noqa: E402
from qdeploy.simulation.shell import ShellSimulator  # noqa: E402

FOLDER = Path(sys.argv[1])
X, INTEGERS, REALS = (np.load(FOLDER / f"{name}.npy") for name in ("x", "integers", "reals"))


def device(
    package: Package,
    kind: type[SimulatedDevice] = SimulatedDevice,
    rtl: str = "rtl",
    **options: Any,
) -> SimulatedDevice:
    """Make this the board of this process."""
    assert package.manifest.board
    simulator = next((FOLDER / f"{rtl}_simulator").glob("*.so"))
    pauses = {"input_gap": 0.1, "output_stall": 0.1, "master_pause": 0.1}
    options.setdefault("name", f"simulated-{os.getpid()}")  # other tests run at the same time
    made = kind(
        partial(ShellSimulator, simulator, FOLDER / rtl, **pauses),
        family=family_of(package.manifest.board.part),
        **options,
    )
    pynq.Device.active_device = made
    if hasattr(pynq.Clocks, "_real_instance"):
        del pynq.Clocks._real_instance  # of the device before
    return made


def works(accelerator: Accelerator) -> None:
    assert np.array_equal(accelerator.run_integers(X), INTEGERS)


def check_same_arrays(package: Package) -> None:
    board = device(package)
    accelerator = qdeploy.load(package.path, device="board")
    works(accelerator)
    assert np.array_equal(accelerator.run(X), REALS)
    assert np.array_equal(np.concatenate(list(accelerator.stream(X))), REALS)
    assert board.memory.buffers == 4
    accelerator.close()
    assert board.memory.buffers == 0
    assert len(board.downloads) == 1


def check_preflight(package: Package) -> None:
    device(package)
    checks = {check.name: check for check in preflight(package)}
    assert all(check.met for check in checks.values()), checks
    assert checks["PYNQ"].found == pynq.__version__
    assert "as the package" in checks["bitstream"].found
    assert "MHz" in checks["clock"].found


def check_flush_is_needed(package: Package) -> None:
    class Unflushed(SimulatedDevice):
        def flush(self, *_: Any) -> None:
            pass

    class Valid(SimulatedDevice):
        def invalidate(self, *_: Any) -> None:
            pass

    for kind in (Unflushed, Valid):
        device(package, kind)
        with Accelerator(package) as accelerator:
            assert not np.array_equal(accelerator.run_integers(X), INTEGERS)


def check_dma_error(package: Package) -> None:
    board = device(package)
    with Accelerator(package) as accelerator:
        for side, name in ((axi_dma.MM2S, "MM2S"), (axi_dma.S2MM, "S2MM")):
            board.dma.failing[side] = axi_dma.SLAVE
            with raises(ToolError, f"^DMA: .*{name}.*the memory refused"):
                accelerator.run(X)
            works(accelerator)


def check_stuck_stream(package: Package) -> None:
    device(package, rtl="stuck_rtl")
    with Accelerator(package, timeout=0.3) as accelerator:
        for _ in range(2):
            with raises(ToolError, "'pool sliding window -> pool' is stuck.*since the last reset"):
                accelerator.run(X)
    device(package)
    with Accelerator(package) as accelerator:
        works(accelerator)


def check_output_that_nobody_takes(package: Package) -> None:
    board = device(package)
    with Accelerator(package, timeout=0.3) as accelerator:
        board.dma.deaf = True
        with raises(ToolError, "'fc -> output' is full: the DMA does not take"):
            accelerator.run(X)
        board.dma.deaf = False
        works(accelerator)


def check_reset_that_hangs(package: Package) -> None:
    board = device(package)
    with Accelerator(package, timeout=0.3) as accelerator:
        board.dma.deaf = board.dma.hangs = True
        with raises(ToolError, "nothing has moved"):
            accelerator.run(X)
        works(accelerator)
        assert len(board.downloads) == 2
    assert board.memory.buffers == 0


def check_slow_device(package: Package) -> None:
    device(package, cycles=100)
    with Accelerator(package, timeout=0.5) as accelerator:
        works(accelerator)


def check_wrong_bitstream(package: Package) -> None:
    board = device(package)
    wrong = Package(package.path, replace(package.manifest, build="f" * 64))
    with raises(UserError, f"build {package.manifest.build[:12]}.*ffffffffffff"):
        Accelerator(wrong)
    assert board.memory.buffers == 0
    with Accelerator(package) as accelerator:
        works(accelerator)


def check_wrong_overlay(package: Package) -> None:
    class Renamed(Package):
        def extract(self, folder: Path, names: Any = None) -> Path:
            super().extract(folder, names)
            handoff = folder / HANDOFF
            handoff.write_text(re.sub('"(/?)dma"', r'"\1axi_dma_0"', handoff.read_text()))
            return folder

    device(package)
    with raises(UserError, "no 'dma', it has accelerator, axi_dma_0"):
        Accelerator(Renamed(package.path, package.manifest))


def check_clock(package: Package) -> None:
    def promising(clock_mhz: float) -> Package:
        promise = replace(package.manifest.board, clock_mhz=clock_mhz)
        return Package(package.path, replace(package.manifest, board=promise))

    class Stubborn:
        fclk0_mhz = property(lambda self: 100.0, lambda self, clock: None)

    device(package)
    for promised, real in ((200, "100"), (50, "50"), (33.4, "33.3")):
        with Accelerator(promising(promised)) as accelerator:
            assert f"{accelerator.clock_mhz + 0.01:.1f}".startswith(real), accelerator.clock_mhz
            works(accelerator)
    with patch("pynq.Clocks", Stubborn()), raises(UserError, "of 100 MHz.*good for 99 MHz"):
        Accelerator(promising(99))


def check_no_memory(package: Package) -> None:
    board = device(package, memory=3 * 8192)
    with raises(ToolError, "contiguous memory.*cma="):
        Accelerator(package)
    assert board.memory.buffers == 0


def check_bench(package: Package) -> None:
    device(package)
    bench.SECONDS = 0.1
    rail = SimpleNamespace(power=SimpleNamespace(value=1.25))
    with patch("pynq.pmbus.get_rails", lambda: {"5V": rail, "12V": rail}):
        found = bench.measure(package, "board")
    assert (found.idle_watts, found.busy_watts) == (2.5, 2.5)
    assert 0 < found.p50 <= found.p99
    assert bench.measure(package, "board").busy_watts is None


def check_commands(package: Package) -> None:
    device(package)
    output = FOLDER / f"board-{os.getpid()}.npy"
    source = ["--input", str(FOLDER / "x.npy"), "-o", str(output)]
    assert main(["run", str(package.path), "--device", "board", *source]) == 0
    assert np.array_equal(np.load(output), REALS)
    for command in ("preflight", "selftest", "bench"):
        assert main([command, str(package.path)]) == 0
    with Accelerator(package):
        assert main(["selftest", str(package.path), "--device", "board"]) == UserError.exit_code
        assert main(["preflight", str(package.path)]) == UserError.exit_code


def check_two_processes(package: Package) -> None:
    device(package, name=f"two-{FOLDER.parent.name}")
    with Accelerator(package) as accelerator:
        command = [sys.executable, __file__, *sys.argv[1:], "second"]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == UserError.exit_code, second.stderr
        assert f"in use by process {os.getpid()}" in second.stdout
        works(accelerator)


def second(package: Package) -> int:
    device(package, name=f"two-{FOLDER.parent.name}")
    try:
        Accelerator(package)
    except UserError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    opened = open_package(FOLDER / f"model-{sys.argv[2]}.qdp")
    if sys.argv[3:] == ["second"]:
        sys.exit(second(opened))
    CHECKS = {name: value for name, value in list(globals().items()) if name.startswith("check_")}
    for check in CHECKS.values():
        check(opened)
    print(len(CHECKS), "checks with PYNQ", pynq.__version__)
