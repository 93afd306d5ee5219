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
from dataclasses import dataclass
from pathlib import Path

import pytest
from bitstream_runs import PHASES, make, start

from qdeploy.bitstream.results import bitstream_of
from qdeploy.bitstream.vivado import Installation
from qdeploy.build import open_build
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.fpga.design import load_design
from qdeploy.fpga.shell import generate_shell, load_shell

# Prints a log and ends with a code in one phase, and is the stub in the others.
_FAILING = """\
#!/bin/sh
for word; do case $word in {phase}.log)
  cat "$(dirname "$0")/messages" | tee "$word"
  exit {code};;
esac; done
exec "$(dirname "$0")/stub" "$@"
"""


def fail(vivado: Installation, phase: str, messages: str, code: int = 1) -> None:
    """Let the stub print `messages` and end with `code` in `phase`."""
    stub = vivado.program.with_name("stub")
    if not stub.exists():
        vivado.program.rename(stub)
    vivado.program.write_text(_FAILING.format(phase=phase, code=code))
    vivado.program.chmod(0o755)
    vivado.program.with_name("messages").write_text(messages)


def heal(vivado: Installation) -> None:
    """Undo `fail`."""
    vivado.program.with_name("stub").replace(vivado.program)


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


# One error of each kind as Vivado prints it, with what the message must say.
@dataclass(frozen=True)
class Printed:
    """What Vivado prints in a phase before it ends, and words of the error that is made of it."""

    phase: str
    lines: str
    words: list[str]


LATER = "ERROR: [Common 17-39] 'launch_runs' failed due to earlier errors.\n"
ERRORS = {
    "licence": Printed(
        "synthesis",
        "WARNING: [Common 17-348] Failed to get the license for feature 'Synthesis' and/or device "
        "'xczu9eg'. Explanation: The license feature Synthesis could not be found.\n" + LATER,
        ["no licence", "'Synthesis'", "'xczu9eg'", "XILINXD_LICENSE_FILE"],
    ),
    "board": Printed(
        "design",
        "ERROR: [Board 49-71] The board_part definition was not found for "
        "tul.com.tw:pynq-z2:part0:1.0. The project's board_part property was not set, but the "
        "project's part property was set to xc7z020clg400-1. Valid board_part values can be "
        "retrieved with the 'get_board_parts' Tcl command.\n",
        ["tul.com.tw:pynq-z2:part0:1.0 are not installed", "Vivado Store"],
    ),
    "part": Printed(
        "package",
        "ERROR: [Coretcl 2-106] Specified part could not be found.\n",
        ["part is not installed", "installer"],
    ),
    "ip": Printed(
        "design",
        "ERROR: [BD 5-390] IP definition not found for VLNV: xilinx.com:ip:axi_dma:7.1 \n" + LATER,
        ["no IP core xilinx.com:ip:axi_dma:7.1"],
    ),
    "version": Printed(
        "package",
        "ERROR: [qdeploy version] the project is for Vivado 2024.1, this is 2022.2\n",
        ["another version", "delete the folder"],
    ),
    "disk": Printed(
        "implementation",
        "ERROR: [Common 17-1294] Unable to create directory [/build/.Xil/Vivado-22/dcp1].\n"
        + LATER,
        ["disk is full", "run the same command again"],
    ),
    "memory": Printed(
        "synthesis",
        "Start Applying XDC Timing Constraints\n"
        '/tools/Vivado/2024.1/bin/rdiArgs.sh: line 309: 3801495 Killed     "$RDI_PROG" "$@"\n',
        ["memory is full", "--jobs"],
    ),
    "libraries": Printed(
        "package",
        'application-specific initialization failed: couldn\'t load file "librdi_commontasks.so": '
        "libtinfo.so.5: cannot open shared object file: No such file or directory\n",
        ["lacks libtinfo.so.5", "without --no-docker"],
    ),
    "utilization": Printed(
        "implementation",
        "Phase 1 Placer Initialization\n"
        "ERROR: [Place 30-640] Place Check : This design requires more Slice LUTs cells than are "
        "available in the target device. This design requires 61234 of such cell types but only "
        "53200 compatible sites are available in the target device.\n" + LATER,
        ["needs 61234 Slice LUTs, the part has 53200", "largest operator is", "--fps"],
    ),
    "crash": Printed(
        "implementation",
        "# An unexpected error has occurred (11)\n",
        ["crashed with signal 11"],
    ),
    "unknown": Printed(
        "synthesis",
        "INFO: [Synth 8-6157] synthesizing module 'fifo'\n"
        "ERROR: [Synth 8-439] module 'nothing' not found [/build/top.v:12]\n"
        "ERROR: [Synth 8-6156] failed synthesizing module 'top'\n" + LATER,
        ["[Synth 8-439] module 'nothing' not found"],
    ),
    "Tcl": Printed(
        "design",
        'can\'t read "frequency": no such variable\n    while executing\n"expr $frequency"\n',
        ['can\'t read "frequency"'],
    ),
    "silence": Printed("bitstream", "", ["exit code 1", "printed nothing"]),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_tells_its_cause_and_the_next_call_goes_on(
    build: Path, vivado: Installation, kind: str
) -> None:
    printed = ERRORS[kind]
    phase = printed.phase
    fail(vivado, phase, printed.lines)
    with pytest.raises(QdeployError) as raised:
        make(build, vivado)
    text = str(raised.value)
    for word in [*printed.words, "log:", f"{phase}.log"]:
        assert word in text, text
    assert "failed due to earlier errors" not in text
    if kind == "utilization":
        assert isinstance(raised.value, UserError)
        nodes = load_design(open_build(build).file("generate", "rtl")).nodes
        assert raised.value.layer == max(nodes, key=lambda node: node.predicted.lut).layer
    else:
        assert isinstance(raised.value, ToolError)
        assert "-source" in text  # the command that reproduces it
    assert bitstream_of(open_build(build)) is None
    heal(vivado)
    _, record = make(build, vivado)
    assert record.reused == PHASES[: PHASES.index(phase)]
    assert bitstream_of(open_build(build)) is not None


def test_the_error_of_a_run_is_found_in_its_own_log(build: Path, vivado: Installation) -> None:
    fail(vivado, "synthesis", LATER)
    (project,) = _project_of(build, vivado)
    log = project / "vivado" / "x.runs" / "synth_1" / "runme.log"
    log.parent.mkdir(parents=True)
    log.write_text("ERROR: [Synth 8-439] module 'deep' not found\n")
    os.utime(log, (time.time() + 1000,) * 2)
    with pytest.raises(ToolError, match="module 'deep' not found"):
        make(build, vivado)


def _project_of(build: Path, vivado: Installation) -> list[Path]:
    with pytest.raises(ToolError):
        make(build, vivado)
    return list((build / "vivado").iterdir())


@pytest.mark.parametrize(("pretend", "short"), [("slow", "0.512"), ("late", "0.021")])
def test_timing_names_the_operator_of_the_worst_path(
    build: Path, vivado: Installation, monkeypatch: pytest.MonkeyPatch, pretend: str, short: str
) -> None:
    monkeypatch.setenv("VIVADO_STUB", pretend)
    with pytest.raises(UserError, match=short) as raised:
        make(build, vivado)
    rtl = open_build(build).stages["generate"] / "rtl"
    nodes = load_design(rtl).nodes
    worst = nodes[len(nodes) // 2]
    assert raised.value.layer == worst.layer
    assert worst.name in raised.value.problem
    assert "clock_mhz" in raised.value.remedy
    if pretend == "slow":
        assert "reaches 95.1 MHz" in raised.value.problem


def test_a_lost_result_is_made_again(build: Path, vivado: Installation) -> None:
    fail(vivado, "bitstream", "")
    (project,) = _project_of(build, vivado)
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
    (project,) = _project_of(build, vivado)
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
