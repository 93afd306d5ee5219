# SPDX-License-Identifier: Apache-2.0
"""Generalized parallel counters: bits of a few columns to fewer bits, in one slice or less.

A counter is one or two atoms on a carry chain of two bits each. Atom (n; m) takes n bits of its
lower and m of its upper column:

    (6; 0)   sum & 1 selects, the sixth bit is the data; sum of five 2 or 3 selects, >= 4 is data
    (4; 1)   as a full adder of three with the fourth on the carry, and the upper bit
    (2; 2)   two plain adder bits

Shapes after Preusser, "Generic and Universal Parallel Matrix Summation with a Flexible Compression
Goal for Xilinx FPGAs", FPL 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qdeploy.fpga.compressors.netlist import ZERO, Net, Netlist

Take = Callable[[int, int], list[Net]]
ATOMS = {(6, 0): "six", (4, 1): "four and one", (2, 2): "two and two"}


@dataclass(frozen=True)
class Counter:
    """A counter: `atoms` from low to high, and one more lowest bit on the carry input.

    Without atoms it is a full adder in one LUT pair.
    """

    atoms: tuple[tuple[int, int], ...]
    carry_in: bool = False

    @property
    def inputs(self) -> tuple[int, ...]:
        """Bits taken from each column."""
        if not self.atoms:
            return (3,)
        counts = [count for atom in self.atoms for count in atom]
        return (counts[0] + self.carry_in, *counts[1:])

    @property
    def luts(self) -> int:
        """LUTs used."""
        return max(1, 2 * len(self.atoms))

    @property
    def outputs(self) -> int:
        """Bits that come out, one per column."""
        return max(2, 2 * len(self.atoms) + 1)

    @property
    def saved_per_lut(self) -> float:
        """How many bits fewer come out than go in, per LUT."""
        return (sum(self.inputs) - self.outputs) / self.luts

    def place(self, netlist: Netlist, take: Take, column: int) -> list[Net]:
        """Put the counter at `column`; `take(column, count)` gives its bits, one bit per column."""
        if not self.atoms:
            low, high = netlist.pair(_two_or_more, _parity, take(column, 3))
            return [high, low]
        carry = take(column, 1)[0] if self.carry_in else ZERO
        selects: list[Net] = []
        data: list[Net] = []
        for index, (low_count, high_count) in enumerate(self.atoms):
            lower = take(column + 2 * index, low_count)
            upper = take(column + 2 * index + 1, high_count) if high_count else []
            # The carry input takes the bypass that the lowest data input would use.
            through_lut = self.carry_in and index == 0
            more = _ATOMS[low_count](netlist, lower, upper, through_lut)
            selects += more[0]
            data += more[1]
        sums, last = netlist.carry(selects, data, carry)
        return [*sums, last]


# Functions of LUTs; by name, so that their tables are made once.
def _parity(*bits: int) -> int:
    return sum(bits) & 1


def _two_or_more(*bits: int) -> bool:
    return sum(bits) >= 2


def _two_or_three(*bits: int) -> bool:
    return sum(bits) in (2, 3)


def _four_or_more(*bits: int) -> bool:
    return sum(bits) >= 4


def _first(one: int, other: int) -> int:
    return one


def _fourth(*bits: int) -> int:
    return bits[3]


def _carry_and_next(one: int, two: int, three: int, upper: int) -> int:
    return upper ^ (one + two + three >= 2)


def _six(
    netlist: Netlist, low: list[Net], high: list[Net], through_lut: bool
) -> tuple[list[Net], list[Net]]:
    parity = netlist.lut(_parity, low)
    four, two = netlist.pair(_four_or_more, _two_or_three, low[:5])
    return [parity, two], [low[5], four]


def _four_and_one(
    netlist: Netlist, low: list[Net], high: list[Net], through_lut: bool
) -> tuple[list[Net], list[Net]]:
    if through_lut:
        fourth, parity = netlist.pair(_fourth, _parity, low)
    else:
        fourth, parity = low[3], netlist.lut(_parity, low)
    upper = netlist.lut(_carry_and_next, [*low[:3], *high])
    return [parity, upper], [fourth, high[0]]


def _two_and_two(
    netlist: Netlist, low: list[Net], high: list[Net], through_lut: bool
) -> tuple[list[Net], list[Net]]:
    if through_lut:
        first, lower = netlist.pair(_first, _parity, low)
    else:
        first, lower = low[0], netlist.lut(_parity, low)
    upper = netlist.lut(_parity, high)
    return [lower, upper], [first, high[0]]


_ATOMS = {6: _six, 4: _four_and_one, 2: _two_and_two}


def _all_counters() -> Sequence[Counter]:
    """Every counter, the ones that save most per LUT first, larger ones before smaller."""
    counters = [Counter(())]
    for low in ATOMS:
        for carry_in in (False, True):
            if carry_in and low == (6, 0):
                continue  # its data input needs the bypass too
            counters.append(Counter((low,), carry_in))
            counters += [Counter((low, high), carry_in) for high in ATOMS]
    useful = [counter for counter in counters if counter.saved_per_lut >= 1]
    return sorted(useful, key=lambda counter: (-counter.saved_per_lut, -counter.luts))


COUNTERS = _all_counters()
