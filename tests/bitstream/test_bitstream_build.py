# SPDX-License-Identifier: Apache-2.0
"""`qdeploy bitstream` with the stub as a program of this machine: results, errors, stops."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bitstream_runs import PHASES, fail, failed_project, heal, make, start

from qdeploy.bitstream.results import bitstream_of
from qdeploy.bitstream.vivado import Installation
from qdeploy.build import open_build
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.fpga.design import load_design
from qdeploy.fpga.shell import generate_shell, load_shell


def at_work(build: Path) -> list[str]:
    """Command lines of processes that build in the folder."""
    mark = f"QDEPLOY_BITSTREAM={build.resolve() / 'vivado'}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if line]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def in_phase(build: Path, phase: str) -> bool:
    """Whether Vivado has begun to work in a phase."""
    logs = list((build / "vivado").glob(f"*/{phase}.log"))
    return bool(logs) and "Launched" in logs[0].read_text()


def test_results_reports_and_page(build: Path, vivado: Installation) -> None:
    report, record = make(build, vivado)
    assert record.entered == PHASES
    assert not record.reused
    assert {"Placer Task", "1 Placer Initialization"} < set(record.steps["implementation"])
    opened = open_build(build)
    found = bitstream_of(opened)
    assert found is not None
    folder, results = found
    for name in ("board.bit", "board.hwh", "reports/timing.rpt"):
        assert (build / name).read_bytes() == (folder / name).read_bytes() != b""
    # The stub says 20 LUTs and 30 flip-flops of every node, and 3000 LUTs more in all.
    nodes = load_design(build / "stages" / opened.stages["generate"].name / "rtl").nodes
    assert results.routed.nodes.keys() == {node.name for node in nodes}
    assert results.routed.accelerator.lut == 20 * len(nodes)
    parts = {part.name: part for part in report.resources}
    assert (parts["LUT"].used, parts["LUT"].synthesized) == (1, 20 * len(nodes))
    assert parts["LUT"].whole == 20 * len(nodes) + 3000
    assert parts["BRAM36"].routed == len(nodes) // 4 / 2
    assert parts["BRAM36"].whole == len(nodes) // 4 / 2 + 2
    for layer in report.layers:
        mine = [node for node in nodes if node.layer == layer.name]
        assert (layer.routed.ff if layer.routed else 0) == 30 * len(mine)
    made = report.implementation
    assert made is not None
    assert (made.vivado, made.slack_ns, made.watts) == ("2024.1", 1.234, 1.612)
    assert made.reachable_mhz == round(1000 / (10 - 1.234), 1)
    assert open_build(build).report == report
    page = (build / "report.html").read_text()
    assert "Vivado 2024.1" in page


def test_a_second_call_runs_nothing(build: Path, vivado: Installation) -> None:
    first, _ = make(build, vivado)
    second, record = make(build, vivado)
    assert record.entered == []
    assert second == first


def test_a_changed_design_starts_anew(build: Path, vivado: Installation) -> None:
    make(build, vivado)
    stages = open_build(build).stages
    rtl, shell = stages["generate"] / "rtl", stages["shell"] / "shell"
    top = rtl / load_design(rtl).files[-1]
    top.write_text(top.read_text() + "// changed\n")
    shutil.rmtree(shell)
    shell.mkdir()
    generate_shell(rtl, shell)
    assert bitstream_of(open_build(build)) is None
    _, record = make(build, vivado)
    assert record.entered == PHASES
    assert not record.reused
    assert bitstream_of(open_build(build)) is not None


def test_a_lost_result_is_made_again(build: Path, vivado: Installation) -> None:
    fail(vivado, "bitstream", "")
    project = failed_project(build, vivado)
    (project / "reports" / "utilization_synthesized.rpt").unlink()
    heal(vivado)
    _, record = make(build, vivado)
    assert record.reused == ["package", "design"]


def test_saying_done_without_results_is_no_success(build: Path, vivado: Installation) -> None:
    fail(vivado, "synthesis", "QDEPLOY-PHASE-DONE synthesis\n", code=0)
    with pytest.raises(ToolError, match="phase synthesis"):
        make(build, vivado)


@pytest.mark.parametrize("phase", ["synthesis", "implementation"])
def test_ctrl_c_stops_everything_and_the_next_call_goes_on(
    build: Path, vivado: Installation, phase: str
) -> None:
    fail(vivado, phase, "")
    with pytest.raises(ToolError):
        make(build, vivado)
    heal(vivado)
    process = start(build, vivado, "seconds=30", "--no-docker")
    wait_for(lambda: in_phase(build, phase) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "run the same command again" in output
    assert not at_work(build)
    _, record = make(build, vivado)
    assert record.reused == PHASES[: PHASES.index(phase)]


def test_sigterm_stops_vivado_too(build: Path, vivado: Installation) -> None:
    process = start(build, vivado, "seconds=30", "--no-docker")
    wait_for(lambda: in_phase(build, "synthesis"))
    process.terminate()
    assert process.wait(60) == 130
    assert not at_work(build)


def test_after_sigkill_the_next_call_stops_what_was_left_and_goes_on(
    build: Path, vivado: Installation
) -> None:
    process = start(build, vivado, "seconds=30", "--no-docker")
    wait_for(lambda: in_phase(build, "synthesis"))
    process.kill()
    process.communicate()
    assert at_work(build)
    _, record = make(build, vivado)
    assert record.reused == ["package", "design"]
    assert not at_work(build)


def test_vivado_killed_from_outside(build: Path, vivado: Installation) -> None:
    process = start(build, vivado, "seconds=30", "--no-docker")
    wait_for(lambda: in_phase(build, "synthesis"))
    (tclsh,) = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(tclsh), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == ToolError.exit_code
    assert "ended from outside (SIGKILL)" in output


def test_a_vivado_that_ignores_sigterm_is_killed(
    build: Path, vivado: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    vivado.program.rename(vivado.program.with_name("stub"))
    vivado.program.write_text("#!/bin/sh\ntrap '' TERM\necho Launched > package.log\nsleep 60\n")
    vivado.program.chmod(0o755)
    process = start(build, vivado, "", "--no-docker")
    wait_for(lambda: in_phase(build, "package"))
    process.kill()
    process.communicate()
    monkeypatch.setattr("qdeploy.bitstream.processes.PATIENCE", 1.0)
    vivado.program.with_name("stub").replace(vivado.program)
    make(build, vivado)
    assert not at_work(build)


def test_two_builds_of_one_folder(build: Path, vivado: Installation) -> None:
    fail(vivado, "bitstream", "")
    project = failed_project(build, vivado)
    heal(vivado)
    with (project / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another qdeploy"):
            make(build, vivado)
    make(build, vivado)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("left", [20_000, 120_000])
def test_a_full_disk_is_one_clear_error(
    build: Path,
    vivado: Installation,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: int,
) -> None:
    monkeypatch.setattr("qdeploy.bitstream.preflight.NEEDED_GIGABYTES", 0)
    build = Path(shutil.copytree(build, small_disk / "build", symlinks=True))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(small_disk).free - left, 0)))
    with pytest.raises(QdeployError, match=r"(?i)disk.* is full") as raised:
        make(build, vivado)
    assert "free some" in str(raised.value)
    filler.unlink()
    make(build, vivado)


def test_no_shell_and_no_hardware(build: Path, vivado: Installation) -> None:
    names = json.loads((build / "build.json").read_text())
    (build / "build.json").write_text(json.dumps({k: v for k, v in names.items() if k != "shell"}))
    with pytest.raises(UserError, match="stage 'shell'"):
        make(build, vivado)
    assert load_shell(open_build(build).directory / "stages" / names["shell"] / "shell")
