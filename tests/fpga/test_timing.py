# SPDX-License-Identifier: Apache-2.0
"""Paths of small netlists, added up by hand."""

from typing import Any

import pytest

from qdeploy.fpga.timing import longest_path

XOR2 = f"{0x6666666666666666:064b}"


def cell(kind: str, outputs: str, parameters: dict[str, str] | None = None, **ports: Any) -> Any:
    return {
        "type": kind,
        "parameters": parameters or {},
        "port_directions": {p: "output" if p in outputs.split() else "input" for p in ports},
        "connections": {p: v if isinstance(v, list) else [v] for p, v in ports.items()},
    }


def flip_flop(data: Any, output: int, enable: Any = "1") -> Any:
    return cell("FDRE", "Q", C=1, CE=enable, R="0", D=data, Q=output)


def path(*cells: Any) -> float:
    return longest_path({"cells": {str(i): c for i, c in enumerate(cells)}}).ns


def test_two_luts_between_registers() -> None:
    first = cell("LUT2", "O", {"INIT": "0110"}, I0=2, I1=3, O=4)
    second = cell("LUT2", "O", {"INIT": "0110"}, I0=4, I1=3, O=5)
    netlist = [flip_flop(5, 2), flip_flop(5, 3), first, second]
    assert path(*netlist) == pytest.approx(0.46 + 2 * (0.7 + 0.124) + 0.06)
    # A clock enable comes from afar.
    assert path(*netlist, flip_flop(2, 6, enable=5)) == pytest.approx(
        0.46 + 2 * (0.7 + 0.124) + 0.56 + 0.36
    )


def test_an_input_that_the_function_ignores_starts_no_path() -> None:
    ports = {f"I{k}": "0" for k in range(2, 6)}
    slow = cell("LUT6", "O", {"INIT": XOR2}, I0=2, I1=2, **ports, O=3)
    ports["I2"] = 3
    ignores = cell("LUT6", "O", {"INIT": XOR2}, I0=2, I1=2, **ports, O=4)
    assert path(flip_flop(4, 2), slow, ignores) == pytest.approx(0.46 + 0.7 + 0.124 + 0.06)


def test_a_chain_costs_little_per_carry() -> None:
    def carry(carry_in: Any, base: int) -> Any:
        nets = {"O": list(range(base, base + 4)), "CO": list(range(base + 4, base + 8))}
        return cell("CARRY4", "O CO", CI=carry_in, CYINIT="0", DI=["0"] * 4, S=[2] * 4, **nets)

    ends = [flip_flop(2, 2), flip_flop(17 + 3, 30)]
    short = path(*ends, carry("0", 17))
    long = path(*ends, carry(16, 17), carry("0", 9))
    assert 0 < long - short < 0.35


def test_registers_in_a_dsp_cut_its_path() -> None:
    def dsp(**registers: str) -> Any:
        return cell("DSP48E1", "P", registers, A=[2], B=[2], P=[3])

    ends = [flip_flop(3, 2)]
    stages = [
        dsp(),
        dsp(AREG="1", BREG="1"),
        dsp(AREG="1", BREG="1", MREG="1"),
        dsp(AREG="1", BREG="1", MREG="1", PREG="1"),
    ]
    times = [path(*ends, stage) for stage in stages]
    assert times == sorted(times, reverse=True)
    assert times[0] > 4 > times[-1]


def test_the_register_behind_the_pre_adder_cuts_the_path_to_the_multiplier() -> None:
    def dsp(**registers: str) -> Any:
        return cell("DSP48E1", "P", {"USE_DPORT": "TRUE", **registers}, A=[2], D=[2], P=[3])

    multiplied = path(flip_flop(2, 2), dsp(MREG="1", PREG="1"))
    added = path(flip_flop(2, 2), dsp(ADREG="1", MREG="1", PREG="1"))
    taken = path(flip_flop(2, 2), dsp(AREG="1", DREG="1", ADREG="1", MREG="1", PREG="1"))
    assert multiplied > added > taken
