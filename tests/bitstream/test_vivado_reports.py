# SPDX-License-Identifier: Apache-2.0
"""Reports in the formats of Vivado 2022 to 2025, 7-series and UltraScale+."""

from pathlib import Path

import pytest

from qdeploy.bitstream.log import MOST_BYTES, first_error, step
from qdeploy.bitstream.results import Taken, Timing, node_of, power, timing, utilization
from qdeploy.errors import ToolError
from qdeploy.fpga.design import Design, load_design

SEVEN = """\
1. Utilization by Hierarchy
---------------------------

+-----------+--------+------------+------------+---------+------+------+--------+--------+-----+
| Instance | Module | Total LUTs | Logic LUTs | LUTRAMs | SRLs | FFs | RAMB36 | RAMB18 | DSP48 |
+-----------+--------+------------+------------+---------+------+------+--------+--------+-----+
| system_wrapper |    (top) |       3120 |  2800 |     100 |  220 | 4100 |      2 |      3 |   4 |
|   (system_wrapper) | (top) |          0 |    0 |       0 |    0 |    0 |      0 |      0 |   0 |
|   system_i      |  system |       3120 |  2800 |     100 |  220 | 4100 |      2 |      3 |   4 |
|     accelerator |   shell |        900 |   880 |      20 |    0 | 1200 |      0 |      3 |   4 |
|       accelerator | {top} |        700 |   680 |      20 |    0 | 1000 |      0 |      3 |   4 |
|         {node}_instance | {node}_node | 412 | 400 |  12 |    0 |  512 |      0 |      1 |   2 |
|           (operator) | unit |      100 |   100 |       0 |    0 |  100 |      0 |      0 |   0 |
+-----------+--------+------------+------------+---------+------+------+--------+--------+-----+
"""
ULTRASCALE = """\
| Instance | Module | Total LUTs | Logic LUTs | LUTRAMs | SRLs | FFs | RAMB36 | RAMB18 | URAM |\
 DSP Blocks |
| system_wrapper | (top) | 4100(1.78%) | 3900(1.69%) | 80(0.08%) | 120(0.1%) | 5000(1.09%) |\
 1(0.32%) | 1(0.16%) | 7 | 5(0.29%) |
"""
TIMING = """\
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)
    -------      -------  ---------------------  -------------------      -------      -------
     -0.333      -13.146                     57                12345        0.082        0.000

Clock       Waveform(ns)       Period(ns)      Frequency(MHz)

Max Delay Paths
--------------------------------------------------------------------------------------
Slack (VIOLATED) :        -0.333ns  (required time - arrival time)
  Source:                 system_i/accelerator/inst/accelerator/{node}_instance/a_reg[0]/C
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0)
  Destination:            system_i/dma/U0/out_reg[31]/D
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0)
Min Delay Paths
--------------------------------------------------------------------------------------
Slack (MET) :             0.082ns  (arrival time - required time)
  Source:                 system_i/dma/x_reg/C
  Destination:            system_i/dma/y_reg/D
"""


@pytest.fixture
def design(accelerator: tuple[Path, Path]) -> Design:
    return load_design(accelerator[0])


def test_utilization_of_the_7_series(design: Design, tmp_path: Path) -> None:
    report, node = tmp_path / "report", design.nodes[3].name
    report.write_text(SEVEN.format(top=design.top, node=node))
    found = utilization(report, design)
    assert found.total == Taken(lut=3120, ff=4100, bram36=3.5, dsp=4)
    assert found.accelerator == Taken(lut=700, ff=1000, bram36=1.5, dsp=4)
    assert found.nodes == {node: Taken(lut=412, ff=512, bram36=0.5, dsp=2)}


def test_utilization_of_ultrascale_plus(design: Design, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text(ULTRASCALE)
    found = utilization(report, design)
    assert found.total == Taken(lut=4100, ff=5000, bram36=1.5, dsp=5)


def test_timing_names_the_worst_path(design: Design, tmp_path: Path) -> None:
    report, node = tmp_path / "report", design.nodes[3].name
    report.write_text(TIMING.format(node=node))
    found = timing(report, design)
    assert (found.slack, found.hold_slack, found.node) == (-0.333, 0.082, node)
    assert found.destination == "system_i/dma/U0/out_reg[31]/D"
    assert found.reachable_mhz(200) == pytest.approx(1000 / 5.333)


def test_pins_outside_the_accelerator_have_no_node(design: Design) -> None:
    assert node_of("system_i/dma/U0/out_reg[31]/D", design) is None
    assert node_of(f"a/{design.nodes[0].name}_instance", design) == design.nodes[0]


def test_other_texts_are_no_reports(design: Design, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text("WNS(ns)\n")
    for read in (lambda: utilization(report, design), lambda: timing(report, design)):
        with pytest.raises(ToolError, match="is not the report"):
            read()
    with pytest.raises(ToolError, match="is not the report"):
        power(report)


def test_a_design_without_paths_has_no_slack(design: Design, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text("WNS(ns) TNS(ns) a b WHS(ns)\n------- ---\n NA NA NA NA NA\n")
    with pytest.raises(ToolError):
        timing(report, design)
    assert (
        Timing(slack=0, hold_slack=0, source="", destination="", node=None).reachable_mhz(50) == 50
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Starting Placer Task", "Placer Task"),
        ("Phase 2.1 Floorplanning", "2.1 Floorplanning"),
        ("Start Technology Mapping", "Technology Mapping"),
        ("Starting Synthesize : Time (s): cpu = 00:00:03 ; elapsed = 00:00:04", "Synthesize"),
        ("[Sat Nov 21 2026] Launched synth_1...", "synth_1"),
        ("Writing bitstream ./board.bit...", "Writing bitstream"),
        ("INFO: [Project 1-570] Preparing netlist for logic optimization", None),
        ("Starting with 3 cells", None),
    ],
)
def test_steps(line: str, words: str | None) -> None:
    assert step(line) == words


def test_a_long_line_is_shortened() -> None:
    cause = first_error([f"ERROR: [X 1-1] {'long ' * 1000}"])
    assert cause is not None
    assert len(cause.problem) < 500
    assert first_error(["INFO: all is well"] * 10) is None
    assert MOST_BYTES > 1 << 20
