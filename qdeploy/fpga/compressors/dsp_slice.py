# SPDX-License-Identifier: Apache-2.0
"""DSP48E1 as a cell of a netlist: multiplies a difference and adds on, pipelined (UG479).

The output is (added - taken) · factor + constant, or + the output of the slice before, over the
cascade between neighbours. Registers: A and D, B1 (not in an early slice); AD, B2; M; P. So
operands take `STAGES` cycles to the output, one less in an early slice; the cascade takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = 4
MULTIPLICAND_BITS, FACTOR_BITS, OUTPUT_BITS = 25, 18, 48
_MULTIPLY_AND_ADD = "7'b0{}0101"  # Z: the constant on C (11) or PCIN (01)


@dataclass(frozen=True)
class Slice:
    """DSP48E1.

    Attributes:
        added, taken: 25 nets each; the difference fits 25 bits, two's complement.
        factor: at most 17 nets, unsigned.
        constant: of the first slice of a cascade.
        before: the slice whose output is added instead.
        early: one register less in front of the multiplier.
        outputs: 48 nets.
    """

    added: tuple[int, ...]
    taken: tuple[int, ...]
    factor: tuple[int, ...]
    constant: int
    before: Slice | None
    early: bool
    outputs: tuple[int, ...]

    def evaluate(self, values: dict[int, NDArray[np.int64]]) -> None:
        """Set the outputs, registers taken as wires."""
        difference = _number(self.added, values) - _number(self.taken, values)
        half = 1 << (MULTIPLICAND_BITS - 1)
        difference = (difference + half) % (2 * half) - half
        rest = _number(self.before.outputs, values) if self.before else self.constant
        total = difference * _number(self.factor, values) + rest
        values |= {net: total >> bit & 1 for bit, net in enumerate(self.outputs)}

    def instance(self, label: str, name: Callable[[int], str]) -> str:
        """Verilog, with a wire for the cascade behind it."""
        unsigned = FACTOR_BITS - len(self.factor)
        ports = {
            "A": f"{{5'd0, {_joined(self.taken, name)}}}",
            "B": f"{{{unsigned}'d0, {_joined(self.factor, name)}}}",
            "D": _joined(self.added, name),
            "P": _joined(self.outputs, name),
            "C": f"48'd{self.constant}",
            "PCIN": _cascade(self.before) if self.before else "48'd0",
            "PCOUT": _cascade(self),
            "OPMODE": _MULTIPLY_AND_ADD.format("01" if self.before else "11"),
        }
        connected = ", ".join(f".{port}({nets})" for port, nets in ports.items())
        registers = _REGISTERS.format(1 - self.early, 2 - self.early)
        return f"wire [47:0] {_cascade(self)};\n  {registers} {label} ({_TIED}, {connected});"


def _number(nets: Sequence[int], values: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    return sum((values[net] << bit for bit, net in enumerate(nets)), np.zeros_like(values[0]))


def _cascade(cell: Slice) -> str:
    return f"cascade{cell.outputs[0]}"


def _joined(nets: Sequence[int], name: Callable[[int], str]) -> str:
    return f"{{{', '.join(map(name, reversed(nets)))}}}"


_REGISTERS = """\
DSP48E1 #(.USE_DPORT("TRUE"), .AREG({0}), .ACASCREG({0}), .DREG({0}), .ADREG(1), .BREG({1}), \
.BCASCREG({1}), .CREG(0), .MREG(1), .PREG(1), .INMODEREG(0), .OPMODEREG(0), .ALUMODEREG(0), \
.CARRYINREG(0), .CARRYINSELREG(0))"""
_ENABLES = (
    "A1",
    "A2",
    "AD",
    "B1",
    "B2",
    "C",
    "D",
    "M",
    "P",
    "CTRL",
    "INMODE",
    "ALUMODE",
    "CARRYIN",
)
_RESETS = ("A", "B", "C", "D", "M", "P", "CTRL", "INMODE", "ALUMODE", "ALLCARRYIN")
# INMODE: the multiplicand is D - A2.
_TIED = ", ".join(
    [
        ".CLK(clk)",
        *(f".CE{register}(1'b1)" for register in _ENABLES),
        *(f".RST{register}(1'b0)" for register in _RESETS),
        ".INMODE(5'b01100), .ALUMODE(4'd0), .CARRYIN(1'b0), .CARRYINSEL(3'd0)",
        ".ACIN(30'd0), .BCIN(18'd0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0)",
    ]
)
