# SPDX-License-Identifier: Apache-2.0
"""Packing of hand-made netlists whose number of sites is plain to see."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qdeploy.fpga.sites import occupied_sites


def lut(output: int, *inputs: int) -> dict[str, Any]:
    ports = {f"I{i}": [net] for i, net in enumerate(inputs)}
    return {"type": f"LUT{len(inputs)}", "connections": {**ports, "O": [output]}}


def carry(select: list[int | str], data: list[int | str]) -> dict[str, Any]:
    return {"type": "CARRY4", "connections": {"S": select, "DI": data}}


def test_two_luts_with_five_inputs_together_share_a_site() -> None:
    assert occupied_sites([lut(100, 1, 2, 3), lut(101, 3, 4, 5)]) == 1


def test_six_inputs_together_do_not_fit() -> None:
    assert occupied_sites([lut(100, 1, 2, 3), lut(101, 3, 4, 5, 6)]) == 2


def test_strangers_are_not_joined() -> None:
    assert occupied_sites([lut(100, 1, 2), lut(101, 3, 4)]) == 2


def test_a_full_lut_stays_alone() -> None:
    assert occupied_sites([lut(100, 1, 2, 3, 4, 5, 6), lut(101, 1, 2)]) == 2


def test_only_two_share() -> None:
    assert occupied_sites([lut(100 + i, 1, 2) for i in range(5)]) == 3


def test_constant_inputs_do_not_count() -> None:
    constant = lut(100, 1, 2, 3)
    constant["connections"]["I3"] = ["0"]
    assert occupied_sites([constant, lut(101, 3, 4, 5)]) == 1


def test_a_carry_chain_takes_its_select_and_data_luts() -> None:
    luts = [lut(10, 1, 2), lut(11, 3, 4), lut(20, 1, 2), lut(21, 5, 6, 7, 8)]
    chain = carry([10, 11, "0", "x"], [20, 21, "0", "x"])
    # 10 with 20; 11 alone, for 21 brings six inputs; 21 alone.
    assert occupied_sites([*luts, chain]) == 3


def test_a_register_at_a_carry_input_costs_a_site() -> None:
    assert occupied_sites([carry([7, 8, "0", "0"], ["0"] * 4)]) == 2


def test_primitives_with_two_outputs_are_one_site() -> None:
    dual = {"type": "LUT6_2", "connections": {"I0": [1], "O5": [50], "O6": [51]}}
    assert occupied_sites([dual, carry([51, "0", "0", "0"], [50, "0", "0", "0"])]) == 1


@given(
    st.lists(
        st.lists(st.integers(0, 12), min_size=1, max_size=6, unique=True), min_size=0, max_size=40
    )
)
def test_sites_lie_between_half_the_luts_and_all(inputs: list[list[int]]) -> None:
    luts = [lut(1000 + i, *nets) for i, nets in enumerate(inputs)]
    sites = occupied_sites(luts)
    full = sum(len(nets) == 6 for nets in inputs)
    assert full + (len(inputs) - full + 1) // 2 <= sites <= len(inputs)
