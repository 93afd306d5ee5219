# SPDX-License-Identifier: Apache-2.0
import pytest

from qdeploy.errors import UserError
from qdeploy.fpga.board import hardware_directory, load_board


def test_the_pynq_z2_is_a_zynq_7020() -> None:
    board = load_board("pynq-z2")
    assert board.part.startswith("xc7z020")
    assert (board.resources.lut, board.resources.bram36, board.resources.dsp) == (53200, 140, 220)


@pytest.mark.parametrize("name", ["pynq-z9", "../boards/pynq-z2", ""])
def test_an_unknown_board_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="unknown board") as caught:
        load_board(name)
    assert "pynq-z2" in caught.value.remedy


def test_the_operators_are_there() -> None:
    assert (hardware_directory() / "rtl" / "matrix_vector_unit.v").is_file()
