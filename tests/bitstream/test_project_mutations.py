# SPDX-License-Identifier: Apache-2.0
"""Faults put into the scripts: the stub or the checks of the block design notice every one."""

import re
from pathlib import Path

import pytest
from block_design import faults, load
from conftest import RunPhase

from qdeploy.bitstream.project import Project, write_project
from qdeploy.fpga.board import hardware_directory, load_board

SCRIPTS = hardware_directory() / "vivado"
DESIGN = (SCRIPTS / "design.tcl").read_text()
VERSION = "2024.1"

# What connects in design.tcl: pairs of interfaces, clock pins, commands of one line.
PAIRS = re.findall(
    r"^ +(?:\[dict get \$ps \w+\]|\w+/\w+) (?:\[dict get \$ps \w+\]|\w+/\w+) \\\n", DESIGN, re.M
)
PINS = re.findall(
    r"(?<=[ {])(?:reset|control|memory|accelerator|dma)/\w*(?:aclk|sync_clk|resetn)\b(?=[ }\n])",
    DESIGN,
)
COMMANDS = re.findall(r"^connect_bd_net .*\n|^assign_registers .*\n", DESIGN, re.M)
REMOVED = [*PAIRS, *dict.fromkeys(PINS), *COMMANDS]

CHANGED = {
    "misspelt variable": ("design.tcl", "$settings::dma_address", "$settings::dma_adress"),
    "misspelt command": ("design.tcl", "validate_bd_design", "validate_bd_desing"),
    "misspelt option": ("design.tcl", "-target_address_space", "-target_adress_space"),
    "misspelt pin": ("design.tcl", "dma/axi_resetn", "dma/axi_reset_n"),
    "misspelt setting": ("design.tcl", "c_sg_length_width", "c_sg_length"),
    "misspelt core": ("design.tcl", "xilinx.com:ip:smartconnect", "xilinx.com:ip:smart_connect"),
    "wrong folder of the core": ("design.tcl", "[file normalize ip]", "[file normalize ips]"),
    "wrong folder of results": ("bitstream.tcl", "hw_handoff", "handoff"),
    "wrong file": ("common.tcl", "settings.tcl", "setting.tcl"),
    "both at one address": (
        "design.tcl",
        "accelerator/s_axi $settings::accelerator_address",
        "accelerator/s_axi $settings::dma_address",
    ),
    "frames go around the accelerator": (
        "design.tcl",
        "dma/M_AXIS_MM2S accelerator/s_axis \\\n    accelerator/m_axis dma/S_AXIS_S2MM",
        "dma/M_AXIS_MM2S dma/S_AXIS_S2MM",
    ),
    "connected twice": (
        "design.tcl",
        "control/M00_AXI dma/S_AXI_LITE",
        "control/M01_AXI dma/S_AXI_LITE",
    ),
    "scatter gather": ("design.tcl", "CONFIG.c_include_sg 0", "CONFIG.c_include_sg 1"),
    "narrow DMA": ("design.tcl", "tdata_width $settings::beat_bits", "tdata_width 32"),
    "reset without synchronizer": (
        "design.tcl",
        "reset/peripheral_aresetn {",
        "ps/FCLK_RESET0_N {",
    ),
    "a port that no clock reaches": (
        "zynqmp.tcl",
        "PSU__USE__M_AXI_GP1 0",
        "PSU__USE__M_AXI_GP1 1",
    ),
    "no port to memory": ("zynq7.tcl", "PCW_USE_S_AXI_HP0 1", "PCW_USE_S_AXI_HP0 0"),
    "no interrupts": ("zynq7.tcl", "PCW_USE_FABRIC_INTERRUPT 1", "PCW_USE_FABRIC_INTERRUPT 0"),
    "another clock": ("zynqmp.tcl", "FREQMHZ $settings::clock_mhz", "FREQMHZ 50"),
    "connection before its cell": (
        "design.tcl",
        "create_bd_design $block_design\n",
        "create_bd_design $block_design\nconnect_bd_net [get_bd_pins dma/mm2s_introut]\n",
    ),
    "wrapper before validation": ("design.tcl", "\nvalidate_bd_design\n", "\n"),
    "no wrapper": ("design.tcl", "add_files -norecurse [make_wrapper", "list [make_wrapper"),
    "catalogue without the core": ("design.tcl", "update_ip_catalog -rebuild\n", ""),
    "implementation before synthesis": (
        "synthesis.tcl",
        "complete_run synth_1",
        "complete_run impl_1",
    ),
    "bitstream of nothing": ("bitstream.tcl", "open_run impl_1\n", ""),
    "bitstream of the synthesis": ("bitstream.tcl", "open_run impl_1\n", "open_run synth_1\n"),
    "a source less": (
        "package.tcl",
        "concat $settings::sources $settings::memories",
        "lrange $settings::sources 0 end-1",
    ),
    "memories elsewhere": ("memories.tcl", "ip src", "ip"),
    "no memories": ("synthesis.tcl", "set_property STEPS.SYNTH_DESIGN.TCL.PRE", "list"),
    "registers without addresses": ("package.tcl", "set_property slave_memory_map_ref", "list"),
    "reset without polarity": ("package.tcl", "value ACTIVE_LOW", "value ACTIVE_HIGH"),
    "clock without reset": (
        "package.tcl",
        "ipx::associate_bus_interfaces -clock aclk -reset",
        "list",
    ),
    "a synthesis for each core": (
        "design.tcl",
        "synth_checkpoint_mode None",
        "synth_checkpoint_mode Singular",
    ),
    "streams without clock": (
        "package.tcl",
        "foreach name {s_axi s_axis m_axis}",
        "foreach name {s_axi}",
    ),
    "report forgotten": ("implementation.tcl", "report_power", "list report_power"),
}


def noticed(project: Project, run_phase: RunPhase, board: str) -> bool:
    for phase in project.phases:
        done = run_phase(project, phase, VERSION, "")
        finished = f"QDEPLOY-PHASE-DONE {phase.name}" in done.stdout
        results = all((project.directory / name).is_file() for name in phase.results)
        if done.returncode or not finished or not results:
            return True
        if phase.name == "design" and faults(load(project.directory), load_board(board)):
            return True
    return False


def change(directory: Path, script: str, old: str, new: str) -> None:
    text = (directory / script).read_text()
    assert old in text
    (directory / script).write_text(text.replace(old, new))


def test_there_is_something_to_remove() -> None:
    assert (len(PAIRS), len(set(PINS)), len(COMMANDS)) == (8, 13, 6)


@pytest.mark.parametrize("board", ["pynq-z2", "kv260"])
@pytest.mark.parametrize("connection", REMOVED, ids=lambda text: " ".join(text.split()))
def test_a_removed_connection_is_noticed(
    accelerator: tuple[Path, Path],
    run_phase: RunPhase,
    tmp_path: Path,
    connection: str,
    board: str,
) -> None:
    made = write_project(*accelerator, load_board(board), VERSION, tmp_path)
    change(tmp_path, "design.tcl", connection, "")
    assert noticed(made, run_phase, board)


@pytest.mark.parametrize("fault", CHANGED)
def test_a_fault_in_a_script_is_noticed(
    accelerator: tuple[Path, Path], run_phase: RunPhase, tmp_path: Path, fault: str
) -> None:
    script, old, new = CHANGED[fault]
    board = "zcu104" if script == "zynqmp.tcl" else "pynq-z2"
    made = write_project(*accelerator, load_board(board), VERSION, tmp_path)
    change(tmp_path, script, old, new)
    assert noticed(made, run_phase, board)
