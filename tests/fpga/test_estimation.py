# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from sample_networks import small_mlp

from qdeploy.errors import ToolError
from qdeploy.fpga.board import load_board
from qdeploy.fpga.design import load_design
from qdeploy.fpga.estimation import Estimate, estimate
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.synthesis import netlists
from qdeploy.fpga.usage import Usage, usage

BOARD = load_board("pynq-z2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mlp")
    network = small_mlp(widths=(8, 6, 4))
    folded = fold(map_network(network), BOARD, 1e6)
    generate(folded.model, network, BOARD, directory)
    return directory


@pytest.fixture(scope="module")
def counted(directory: Path) -> Estimate:
    return estimate(directory, BOARD)


def test_the_total_is_the_sum_of_the_nodes(counted: Estimate) -> None:
    assert counted.total == sum((node.usage for node in counted.nodes), Usage())
    assert counted.total == sum(counted.by_layer().values(), Usage())
    assert set(counted.by_layer()) == {"fc1", "fc2"}
    assert counted.available == BOARD.resources


def test_registers_of_a_fifo_are_those_of_its_source(directory: Path, counted: Estimate) -> None:
    """Two words and as many bits of a state."""
    width = next(n.input_bits for n in load_design(directory).nodes if n.name == "fc2_fifo")
    fifo = next(node for node in counted.nodes if node.name == "fc2_fifo")
    assert fifo.usage.ff == 2 * (width + 1)


def test_the_resource_model_is_near(counted: Estimate) -> None:
    """The fixed parts of a unit, which are most of it here, are some tens of LUTs more or less."""
    assert counted.predicted.lut == pytest.approx(counted.total.lut, rel=0.07, abs=40)
    assert counted.predicted.ff == pytest.approx(counted.total.ff, rel=0.07, abs=40)
    assert counted.predicted.bram36 == counted.total.bram36
    assert counted.predicted.dsp == counted.total.dsp


def test_a_small_network_takes_a_small_part_of_the_board(counted: Estimate) -> None:
    total = counted.total
    assert 50 < total.lut <= total.lut_cells + 100 < 1500
    assert 100 < total.ff < 1500
    assert total.dsp == 0
    assert counted.finn_lut > 0
    assert "osys" in counted.tool


def test_the_result_can_be_stored(counted: Estimate) -> None:
    assert Estimate.model_validate_json(counted.model_dump_json()) == counted


def test_the_design_folder_stays_clean(directory: Path, counted: Estimate) -> None:
    assert not (directory / "netlist.json").exists()


def test_known_nodes_are_not_synthesized_again(
    directory: Path, counted: Estimate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "yosys"  # says what it is, but does nothing
    program.write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo "{counted.tool}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("QDEPLOY_YOSYS", str(program))
    assert estimate(directory, BOARD) == counted
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ToolError, match="yosys"):
        estimate(directory, BOARD)


@pytest.mark.parametrize("program", ["/nonexistent/yosys", "false"])
def test_a_yosys_that_does_not_run_is_a_tool_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("QDEPLOY_YOSYS", program)
    with pytest.raises(ToolError, match="yosys"):
        estimate(directory, BOARD)


RAMS = """\
module rams (input clk, input write, input [9:0] a, input [15:0] x, output reg [15:0] y,
             output reg [7:0] z, output reg [31:0] p);
  reg [15:0] block[0:1023];
  reg [7:0] distributed[0:31];
  always @(posedge clk) begin
    if (write) block[a] <= x;
    if (write) distributed[a[4:0]] <= x[7:0];
    y <= block[a];
    z <= distributed[x[4:0]];
    p <= x * y;
  end
endmodule
"""


@pytest.mark.parametrize("board", ["pynq-z2", "zcu104"])
def test_memories_and_multipliers_of_both_families_are_counted(board: str, tmp_path: Path) -> None:
    (tmp_path / "rams.v").write_text(RAMS)
    (module,) = netlists(["rams.v"], ["rams"], tmp_path, load_board(board).family)
    used = usage(module)
    assert (used.bram36, used.dsp) == (0.5, 1)
    assert 6 <= used.lut_memory <= 16
