# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import InternalError
from qdeploy.fpga.memory import write_memory
from qdeploy.fpga.yosys import run_yosys
from qdeploy.simulation.verilator import find_verilator


@pytest.mark.parametrize("words", [[], [1, 256], [-1]])
def test_words_must_fit(tmp_path: Path, words: list[int]) -> None:
    with pytest.raises(InternalError, match=r"memory weights: .* 8 bits"):
        write_memory(tmp_path / "weights.v", "weights", words, 8)


def test_verilator_reads_wide_words_of_equal_columns(tmp_path: Path) -> None:
    """More of them than it accepts tokens in a line."""
    contents = [int.from_bytes(np.random.default_rng(0).bytes(2000)) << i for i in range(3)]
    write_memory(tmp_path / "wide.v", "wide", contents, 16_002, "block")
    find_verilator().run("--lint-only", str(tmp_path / "wide.v"))


def test_yosys_follows_the_style(tmp_path: Path) -> None:
    contents = np.random.default_rng(0).integers(0, 1 << 16, 128).tolist()
    write_memory(tmp_path / "block.v", "block", contents, 16, "block")
    write_memory(tmp_path / "distributed.v", "distributed", contents, 16, "distributed")
    (tmp_path / "top.v").write_text(
        """module top (input clk, input [6:0] address, output [15:0] a, output [15:0] b);
  block block_memory (.clk(clk), .enable(1'b1), .address(address), .data(a));
  distributed lut_memory (.clk(clk), .enable(1'b1), .address(address), .data(b));
endmodule
"""
    )
    run_yosys(
        "read_verilog top.v block.v distributed.v; read_verilog -lib +/xilinx/cells_sim.v; "
        "synth_xilinx -family xc7 -top top -noiopad; "
        "tee -o cells.json stat -json",
        tmp_path,
    )
    modules = json.loads((tmp_path / "cells.json").read_text())["modules"]
    cells = {name.strip("\\"): module["num_cells_by_type"] for name, module in modules.items()}
    assert cells["block"].get("RAMB18E1") == 1
    assert not [cell for cell in cells["distributed"] if cell.startswith("RAMB")]
    assert cells["distributed"]["LUT6"] >= 16
