# SPDX-License-Identifier: Apache-2.0
"""What preflight says about machines, and who may have the device."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import packages
import pytest
from environments import run
from test_runtime import board_package

from qdeploy.board.__main__ import main
from qdeploy.board.host import Host, check_host, require, this_host
from qdeploy.board.lock import device_lock
from qdeploy.board.package import Package, open_package
from qdeploy.errors import UserError

PYNQ_Z2 = Host("armv7l", (3, 10), True, "/usr", "3.1.2", True, 100 << 20)
ZCU104 = {"name": "ZCU104", "part": "xczu7ev-ffvc1156-2-e", "clock_mhz": 100.0}
HOLDER = """
import sys, time
from qdeploy.board.lock import device_lock
with device_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return open_package(board_package(tmp_path / "model.qdp"))


def test_good_boards(package: Package) -> None:
    for version in ("3.0.1", "3.1.2"):
        checks = check_host(package, replace(PYNQ_Z2, pynq=version))
        assert all(check.met for check in checks)
        assert "not tested" not in str(checks)
    zynqmp = replace(package.manifest, board=replace(package.manifest.board, **ZCU104))
    checks = check_host(
        Package(package.path, zynqmp), replace(PYNQ_Z2, machine="aarch64", pynq="4.0.0")
    )
    assert all(check.met for check in checks)


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        ({"root": False}, "user: not root", "sudo -i"),
        ({"xrt": ""}, "XILINX_XRT: not set", "xrt_setup.sh"),
        ({"pynq": None}, "PYNQ: not installed", "pynq_venv.sh"),
        ({"pynq": "4.0.0"}, "4.0.0, which cannot load overlays of Zynq-7000", "PYNQ 3.1 image"),
        ({"python": (3, 7)}, "Python: 3.7", "3.8"),
        ({"machine": "aarch64"}, "processor: aarch64", "for armv7l"),
        ({"memory": 20 << 10}, "20 KiB free, 32 KiB needed", "cma="),
        ({"memory": None}, "0 KiB free, 32 KiB needed", "cma="),
    ],
)
def test_what_is_missing(
    change: dict[str, object], problem: str, remedy: str, package: Package
) -> None:
    checks = check_host(package, replace(PYNQ_Z2, **change))
    assert [check.met for check in checks].count(False) == 1
    with pytest.raises(UserError, match=f"{problem}.*\n.*{remedy}"):
        require(checks)


def test_unknown_versions_may_try(package: Package) -> None:
    for version in ("3.2.0", "2.7.0", "unknown"):
        checks = check_host(package, replace(PYNQ_Z2, pynq=version))
        assert all(check.met for check in checks)
        assert f"{version}, not tested (3.0, 3.1 are)" in str(checks)


def test_package_without_bitstream(tmp_path: Path) -> None:
    package = open_package(packages.write(tmp_path / "model.qdp"))
    with pytest.raises(UserError, match="holds no bitstream"):
        require(check_host(package, PYNQ_Z2))


def test_this_machine_is_no_board(
    tmp_path: Path, package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not all(check.met for check in check_host(package, this_host()))
    assert main(["preflight", str(package.path)]) == UserError.exit_code
    said = capsys.readouterr()
    assert "FAIL PYNQ: not installed" in said.out
    assert "error: PYNQ: not installed" in said.err
    assert main(["run", str(package.path), "--device", "board", "--selftest"]) == 2
    assert main(["run", str(package.path), "--input", str(tmp_path / "none.npy")]) == 2
    assert main(["selftest", str(tmp_path / "none.qdp")]) == UserError.exit_code
    assert "Traceback" not in capsys.readouterr().err


def test_another_process_holds_the_device() -> None:
    name = f"test-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid}"), device_lock(name):
            pass
        holder.send_signal(signal.SIGKILL)
    with device_lock(name), pytest.raises(UserError, match="by this process"), device_lock(name):
        pass
    run(sys.executable, "-c", HOLDER.replace("600", "0"), name)


def test_the_runtime_needs_numpy_alone() -> None:
    program = (
        "import sys; import qdeploy.board.__main__; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    modules = set(run(sys.executable, "-c", program).split())
    others = {"onnx", "onnxruntime", "pydantic", "torch", "finn", "rich", "typer", "pynq"}
    assert "numpy" in modules
    assert not modules & others
