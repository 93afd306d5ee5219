# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from finn.util.basic import pynq_part_map
from pydantic import ValidationError

from qdeploy.errors import UserError
from qdeploy.fpga.board import Board, hardware_directory, load_board


def test_the_pynq_z2_is_a_zynq_7020() -> None:
    board = load_board("pynq-z2")
    assert board.part.startswith("xc7z020")
    assert (board.resources.lut, board.resources.bram36, board.resources.dsp) == (53200, 140, 220)


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (hardware_directory() / "boards").glob("*.toml"))
)
def test_boards_agree_with_finn(name: str) -> None:
    board = load_board(name)
    if board.finn_board is not None:
        assert board.part == pynq_part_map[board.finn_board]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dma_address": 0x4040_0001}, "0x40400001"),
        ({"dma_address": 0x43C0_0000}, "both at 0x43c00000"),
        ({"accelerator_address": 0xA000_0000}, "zynq7 reaches 0x40000000"),
        ({"memory": ({"base": 0, "size": 64}, {"base": 32, "size": 64})}, "overlap"),
        ({"processor": "zynq8"}, "zynq7"),
        ({"voltage": 5}, "voltage"),
    ],
)
def test_a_board_that_cannot_be_is_refused(change: dict[str, Any], problem: str) -> None:
    fields = load_board("pynq-z2").model_dump() | change
    with pytest.raises(ValidationError, match=problem):
        Board.model_validate(fields)


@pytest.mark.parametrize("name", ["pynq-z9", "../boards/pynq-z2", ""])
def test_an_unknown_board_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="unknown board") as caught:
        load_board(name)
    assert "pynq-z2" in caught.value.remedy


def test_the_operators_are_there() -> None:
    assert (hardware_directory() / "rtl" / "matrix_vector_unit.v").is_file()
