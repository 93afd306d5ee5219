# SPDX-License-Identifier: Apache-2.0
"""The parts of a formula, and the sizes that all of them are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qdeploy.fpga.resources.cost import Cost

NOTHING = Cost()
Parameters = Mapping[str, int | str]


@dataclass(frozen=True)
class Terms:
    """Cost of an operator: `counted` exactly, plus coefficient times term, summed.

    Attributes:
        counted: compressor trees, memories, DSP slices.
        lut: terms of the remaining LUTs by name.
        ff: terms of the remaining flip-flops by name.
    """

    counted: Cost = NOTHING
    lut: Mapping[str, float] = field(default_factory=dict)
    ff: Mapping[str, float] = field(default_factory=dict)


def integer(parameters: Parameters, *names: str) -> tuple[int, ...]:
    """Values of numeric parameters, also of those written as Verilog does (4'd5)."""
    return tuple(_value(parameters[name]) for name in names)


def clog2(number: int) -> int:
    """$clog2 of Verilog."""
    return (number - 1).bit_length() if number > 1 else 0


def address_bits(words: int) -> int:
    """Bits of an address port, at least one."""
    return max(1, clog2(words))


def _value(parameter: int | str) -> int:
    if isinstance(parameter, int):
        return parameter
    digits = parameter.rpartition("'")[2]
    return int(digits[1:], 16) if digits.startswith("h") else int(digits.removeprefix("d"))
