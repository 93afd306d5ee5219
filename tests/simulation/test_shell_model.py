# SPDX-License-Identifier: Apache-2.0
"""What a simulation of the shell finds, where it runs, and what Yosys makes of a shell."""

from __future__ import annotations

import _ctypes
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from echo_accelerator import build_echo, write_echo_in_shell
from echo_shell import (
    CONTROL,
    FRAMES_IN,
    FRAMES_OUT,
    FRAMES_PER_PACKET,
    MOVED,
    SHAPES,
    STATUS,
    VALID,
    Echo,
    packets,
    random_frames,
    send,
    stalled,
    state,
)

from qdeploy.errors import InternalError, UserError
from qdeploy.fpga.yosys import run_yosys
from qdeploy.simulation.shell import HARNESS, ShellSimulator
from qdeploy.simulation.verilator import build_model


def test_it_runs_where_numpy_is(small: Echo) -> None:
    """As on a machine with PYNQ: nothing else that qdeploy depends on is imported."""
    program = f"""if True:
        import sys
        for name in ("pydantic", "onnx", "onnxruntime", "qonnx", "finn", "torch", "verilator"):
            sys.modules[name] = None
        from qdeploy.simulation.shell import ShellSimulator
        print(hex(ShellSimulator({str(small.model)!r}).read(0)))
    """
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == "0x51445031", answer.stderr


def test_other_shared_objects_and_folders_are_refused(small: Echo, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no simulation of a shell"):
        ShellSimulator(Path(_ctypes.__file__))
    with pytest.raises(InternalError, match="cannot enter"):
        ShellSimulator(small.model, tmp_path / "absent")


FAULTS = {
    "withdrawn": (
        {"assign m_tvalid = full;\n  always": "assign m_tvalid = full && !new_packet;\n  always"},
        "withdrew or changed",
    ),
    "depends on an input": (
        {"assign s_axi_wready = s_axi_awready;": "assign s_axi_wready = s_axi_wvalid;"},
        "depend on an input",
    ),
    "early answer": (
        {"if (s_axi_awready) s_axi_bvalid <= 1'b1;": "if (s_axi_awvalid) s_axi_bvalid <= 1'b1;"},
        "not requested|withdrew",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shell_that_breaks_a_protocol_is_found(fault: str, tmp_path: Path) -> None:
    changes, message = FAULTS[fault]
    model = build_echo(tmp_path, (8, 8), 2, 3, changes)
    simulator = ShellSimulator(model, output_stall=0.5, master_pause=0.5, seed=1)
    simulator.send(np.zeros(80, np.uint8))
    simulator.receive(800)
    with pytest.raises(InternalError, match=message):
        for value in range(100):
            simulator.write(FRAMES_PER_PACKET, value)


SYNTHESIS = """
read_verilog -defer {files}
read_verilog -lib +/xilinx/cells_sim.v
hierarchy -check -top echo_shell
synth_xilinx -family xc7 -top echo_shell -flatten -noiopad
tee -o cells.json stat -json
setundef -zero -params
write_verilog -noattr cells.v
design -reset
read_verilog cells.v +/xilinx/cells_sim.v
hierarchy -top echo_shell
proc
flatten
opt_clean
write_verilog -noattr netlist.v
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bytes", "wide_out"])
def test_cells_of_yosys_do_the_same(name: str, tmp_path: Path) -> None:
    widths, words, streams = SHAPES[name]
    shell = write_echo_in_shell(tmp_path, widths, words, streams)
    for file in (*(tmp_path / "rtl").glob("*.v"), *(tmp_path / "shell").glob("*.v")):
        shutil.copy(file, tmp_path)
    files = " ".join(["fifo.v", "echo.v", *shell.files])
    run_yosys("; ".join(SYNTHESIS.format(files=files).strip().splitlines()), tmp_path)
    (module,) = json.loads((tmp_path / "cells.json").read_text())["modules"].values()
    assert not {cell for cell in module["num_cells_by_type"] if cell.startswith(("LD", "DSP"))}
    model = build_model([tmp_path / "netlist.v"], "echo_shell", tmp_path, harness=HARNESS)
    synthesized = Echo(model, widths, words, streams)
    frames = random_frames(synthesized, np.random.default_rng(0), 12, longest_wait=40)
    simulator = synthesized.simulator(input_gap=0.5, output_stall=0.5, master_pause=0.5, seed=1)
    build = [simulator.read(address) for address in range(0x10, 0x30, 4)]
    assert "".join(f"{word:08x}" for word in build) == shell.build
    simulator.write(FRAMES_PER_PACKET, 4)
    send(synthesized, simulator, frames)
    expected = [b"".join(map(synthesized.echo, frames[i : i + 4])) for i in (0, 4, 8)]
    assert list(packets(simulator, 1 << 16)) == [*expected, b""]
    assert [simulator.read(address) for address in (STATUS, FRAMES_IN, FRAMES_OUT)] == [0, 12, 12]
    waits = sum(word & 0xFF for frame in frames for word in frame)
    assert stalled(simulator, 1) >= waits
    assert state(simulator, 1) & (VALID | MOVED) == MOVED
    simulator.write(CONTROL, 1)
    assert [simulator.read(address) for address in (FRAMES_IN, 0x108)] == [0, 0]
