# SPDX-License-Identifier: Apache-2.0
"""Unmodified PYNQ finds the cells of the block design where the board's file puts them."""

import json
from pathlib import Path

import pytest
from board.environments import python, run
from conftest import RunPhase

from qdeploy.bitstream.project import HANDOFF, write_project
from qdeploy.fpga.board import load_board

PROGRAM = """\
import json, sys, warnings
warnings.simplefilter("ignore")
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynqmetadata.frontends import Metadata
read = RuntimeMetadataParser(Metadata(input=sys.argv[1]))
cells = {name: [cell["type"], cell.get("phys_addr")] for name, cell in read.ip_dict.items()}
length = read.ip_dict["dma"]["parameters"]["c_sg_length_width"]
print(json.dumps([cells, length, read.clock_dict[0]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("version", "number"), [("3.0.1", "3.10"), ("3.1.2", "3.11")])
@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
def test_pynq_reads_the_handoff(
    accelerator: tuple[Path, Path],
    run_phase: RunPhase,
    tmp_path: Path,
    name: str,
    version: str,
    number: str,
) -> None:
    interpreter = python(number, f"pynq=={version}", "pycparser<3")
    board = load_board(name)
    project = write_project(*accelerator, board, "2022.2", tmp_path)
    for phase in project.phases:
        assert run_phase(project, phase, "2022.2", "").returncode == 0
    said = run(str(interpreter), "-c", PROGRAM, str(tmp_path / HANDOFF))
    cells, length, clock = json.loads(said.splitlines()[-1])
    assert cells["dma"] == ["xilinx.com:ip:axi_dma:7.1", board.dma_address]
    assert cells["accelerator"][0].startswith("qdeploy.org:qdeploy:small_cnn_top_shell:")
    assert cells["accelerator"][1] == board.accelerator_address
    assert length == "26"
    source = {"zynq7": 1000, "zynqmp": 1500}[board.processor]
    assert source / clock["divisor0"] / clock["divisor1"] == board.clock_mhz
