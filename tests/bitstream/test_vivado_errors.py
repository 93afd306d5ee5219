# SPDX-License-Identifier: Apache-2.0
"""Errors of Vivado, as it prints them, become one message with cause and remedy."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from bitstream_runs import PHASES, fail, failed_project, heal, make

from qdeploy.bitstream.results import bitstream_of
from qdeploy.bitstream.vivado import Installation
from qdeploy.build import open_build
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.fpga.design import load_design


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
    project = failed_project(build, vivado)
    log = project / "vivado" / "x.runs" / "synth_1" / "runme.log"
    log.parent.mkdir(parents=True)
    log.write_text("ERROR: [Synth 8-439] module 'deep' not found\n")
    os.utime(log, (time.time() + 1000,) * 2)
    with pytest.raises(ToolError, match="module 'deep' not found"):
        make(build, vivado)


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
