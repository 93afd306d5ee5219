# SPDX-License-Identifier: Apache-2.0
"""Yosys proves by induction that the shell keeps to AXI, whatever its surroundings do and when."""

from __future__ import annotations

from pathlib import Path

import pytest
from operator_bench import RTL

from qdeploy.errors import ToolError
from qdeploy.fpga.yosys import run_yosys

# Bits and bytes of a word, words of a frame: parts of a beat, whole ones, several beats.
SHAPES = [(8, 1, 5), (24, 4, 2), (64, 8, 3), (72, 16, 2), (200, 32, 1)]


def prove(directory: Path, rules: str, parameters: str = "", **changes: tuple[str, str]) -> None:
    """Raise ToolError unless every assertion of tests/hw/<rules>.v holds in every cycle.

    Args:
        directory: for the files.
        rules: module and stem of its file.
        parameters: of the module, as Yosys' chparam takes them.
        changes: by operator, Verilog in it and what it is replaced by.
    """
    operators = ("register_file", "frame_input", "frame_output")
    for name in operators:
        text = (RTL / f"{name}.v").read_text()
        old, new = changes.get(name, ("", ""))
        assert old in text
        (directory / f"{name}.v").write_text(text.replace(old, new, 1))
    source = Path(__file__).with_name(f"{rules}.v")
    (directory / source.name).write_text(source.read_text())
    script = (
        f"read_verilog -formal {source.name} {' '.join(f'{name}.v' for name in operators)}",
        f"chparam {parameters} {rules}" if parameters else "",
        f"prep -flatten -top {rules}",
        "memory_map; async2sync; chformal -early; opt -full; setundef -zero",
        f"sat -tempinduct -prove-asserts -set-assumes -maxsteps 4 -verify {rules}",
    )
    run_yosys("; ".join(line for line in script if line), directory)


def test_registers(tmp_path: Path) -> None:
    prove(tmp_path, "register_file_rules")


@pytest.mark.parametrize(("width", "word_bytes", "words"), SHAPES)
def test_frames(width: int, word_bytes: int, words: int, tmp_path: Path) -> None:
    sizes = f"-set WIDTH {width} -set WORD_BYTES {word_bytes} -set WORDS {words}"
    prove(tmp_path, "frame_rules", sizes)


@pytest.mark.parametrize(
    ("rules", "operator", "old", "new"),
    [
        ("register_file_rules", "register_file", "(!s_axi_bvalid || s_axi_bready)", "1'b1"),
        ("register_file_rules", "register_file", "(!s_axi_rvalid || s_axi_rready)", "1'b1"),
        ("register_file_rules", "register_file", "s_axi_awvalid && s_axi_wvalid", "s_axi_awvalid"),
        ("frame_rules", "frame_input", "(final_word && m_tready)", "final_word"),
        ("frame_rules", "frame_output", "(!full || m_tready)", "1'b1"),
        (
            "frame_rules",
            "frame_output",
            "assign m_tlast = ends_packet",
            "assign m_tlast = new_packet",
        ),
    ],
)
def test_a_broken_rule_is_found(
    rules: str, operator: str, old: str, new: str, tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match="proof did fail"):
        prove(tmp_path, rules, **{operator: (old, new)})
