# SPDX-License-Identifier: Apache-2.0
"""A yardstick for clock rates: the longest path of a mapped xc7 netlist, with fixed net delays.

Nothing is placed or routed, so this is no prediction: it compares operators and finds long paths.
Cell delays are about those of speed grade -1 (DS187), every net between sites takes `NET`. Inputs
of LUTs that their function ignores start no path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Cell = Mapping[str, Any]
Bit = int | str  # a net, or a constant

NET = 0.7
LOCAL_SHARE = 0.8  # of NET, on the way into a register that is not beside its source
SETUP, CONTROL_SETUP = 0.06, 0.36  # of D; of clock enable and reset
LUT, MUX, MUX_SELECT = 0.124, 0.2, 0.25
CARRY_ENTRY, CARRY_SUM, CARRY_STEP, CARRY_BYPASS, CARRY_START = 0.45, 0.25, 0.114, 0.3, 0.5
MEMORY_READ, MEMORY_CLOCK, SHIFT_CLOCK = 0.15, 1.3, 1.5
REGISTER_CLOCK, BLOCK_CLOCK, BLOCK_SETUP = 0.46, 2.45, 0.5
# DSP48E1: through pre-adder, multiplier, adder; and its register setup and clock to output.
DSP_PRE_ADD, DSP_MULTIPLY, DSP_ADD, DSP_SETUP, DSP_CLOCK = 1.7, 2.6, 1.5, 0.4, 0.5
_CLOCKED = re.compile(r"FD|RAM|SRL|DSP")
_CLOCKS = {"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"}
_LUT = re.compile(r"LUT[1-6](_2)?$|INV$")


@dataclass(frozen=True)
class Delay:
    """Time until a signal is there, ns, and the cell types on its way."""

    ns: float
    cells: tuple[str, ...] = ()

    @property
    def mhz(self) -> float:
        """Clock rate that this path would allow."""
        return 1e3 / self.ns if self.ns else float("inf")

    def through(self, ns: float, kind: str) -> Delay:
        """The path with one more cell."""
        return Delay(self.ns + ns, (*self.cells, kind))


def longest_path(module: Mapping[str, Any]) -> Delay:
    """The slowest path from register to register of a flat module in Yosys' JSON format."""
    return _Netlist(module["cells"].values()).longest()


class _Netlist:
    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells = list(cells)
        self.drivers = {
            bit: (cell, port, index)
            for cell in self.cells
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for index, bit in enumerate(bits)
        }
        self.known: dict[Bit, Delay] = {}

    def longest(self) -> Delay:
        ends = [
            self._end(cell, port, bit)
            for cell in self.cells
            if _CLOCKED.match(cell["type"])
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "input" and port not in _CLOCKS
            for bit in bits
        ]
        return _latest(ends)

    def _end(self, cell: Cell, port: str, bit: Bit) -> Delay:
        arrival, kind = self.arrival(bit), cell["type"]
        beside = bit in self.drivers and re.match("LUT|CARRY|MUXF", self.drivers[bit][0]["type"])
        wire = 0.0 if port == "D" and beside else LOCAL_SHARE * NET
        setup = CONTROL_SETUP if port in ("CE", "R", "S") else SETUP
        if kind.startswith("RAMB"):
            setup = BLOCK_SETUP
        elif kind.startswith("DSP"):
            setup = _dsp_setup(cell, port)
        return arrival.through(wire + setup, f"{kind}.{port}")

    def arrival(self, bit: Bit) -> Delay:
        """When a net has its value."""
        if bit not in self.known:
            self.known[bit] = Delay(0.0)  # of a loop, while it is followed
            self.known[bit] = self._driven(bit)
        return self.known[bit]

    def _driven(self, bit: Bit) -> Delay:
        if bit not in self.drivers:
            return Delay(0.0)
        cell, port, index = self.drivers[bit]
        kind, nets = cell["type"], cell["connections"]
        if kind.startswith("FD"):
            return Delay(REGISTER_CLOCK, (kind,))
        if kind.startswith("RAMB"):
            return Delay(BLOCK_CLOCK, (kind,))
        if kind.startswith(("RAM", "SRL")):
            start = SHIFT_CLOCK if kind.startswith("SRL") else MEMORY_CLOCK
            address = [b for p, bits in nets.items() if re.match("A|DPRA", p) for b in bits]
            return _latest([Delay(start, (kind,)), self._wired(address, MEMORY_READ, kind)])
        if kind.startswith("DSP"):
            return self._dsp(cell)
        if _LUT.match(kind):
            return self._wired([nets[pin][0] for pin in _used_pins(cell, port)], LUT, kind)
        if kind.startswith("MUXF"):
            data = _latest([self.arrival(nets[pin][0]) for pin in ("I0", "I1")])
            return _latest([data.through(MUX, kind), self._wired(nets["S"], MUX_SELECT, kind)])
        if kind == "CARRY4":
            return self._carry(nets, port, index)
        return self._wired([b for bits in nets.values() for b in bits if b != bit], LUT, kind)

    def _wired(self, bits: Iterable[Bit], ns: float, kind: str) -> Delay:
        return _latest([self.arrival(bit) for bit in bits]).through(NET + ns, kind)

    def _carry(self, nets: Mapping[str, list[Bit]], port: str, index: int) -> Delay:
        """Selects and data come from the LUTs beside the chain, or take a way around them."""
        found = []
        for k in range(index + 1):
            own_sum = k == index and port == "O"
            select = self.arrival(nets["S"][k])
            found.append(select.through(CARRY_SUM if own_sum else CARRY_ENTRY, "CARRY4"))
            if not own_sum:
                data = self.arrival(nets["DI"][k])
                around = 0.0 if data.cells[-1:] and _LUT.match(data.cells[-1]) else CARRY_BYPASS
                found.append(data.through(CARRY_ENTRY + around, "CARRY4"))
        step = CARRY_SUM if port == "O" else CARRY_STEP
        found.append(self.arrival(nets["CI"][0]).through(step, "CARRY4"))
        found.append(self.arrival(nets["CYINIT"][0]).through(step + CARRY_START, "CARRY4"))
        return _latest(found)

    def _dsp(self, cell: Cell) -> Delay:
        if _register(cell, "PREG"):
            return Delay(DSP_CLOCK, (cell["type"],))
        if _register(cell, "MREG"):
            return Delay(DSP_CLOCK + DSP_ADD, (cell["type"],))
        if _register(cell, "AREG") and _register(cell, "BREG"):
            return Delay(DSP_CLOCK + DSP_MULTIPLY + DSP_ADD, (cell["type"],))
        nets = cell["connections"]
        inputs = [bit for port in "ABCD" for bit in nets.get(port, [])]
        return self._wired(inputs, DSP_MULTIPLY + DSP_ADD, cell["type"])


def _dsp_setup(cell: Cell, port: str) -> float:
    if port in "AD" and not _register(cell, f"{port}REG") and _pre_adds(cell):
        return DSP_SETUP + DSP_PRE_ADD
    if port in "AB" and not _register(cell, f"{port}REG"):
        if _register(cell, "MREG"):
            return DSP_SETUP + DSP_MULTIPLY
        return DSP_SETUP + DSP_MULTIPLY + DSP_ADD if _register(cell, "PREG") else 0.0
    if port == "C" and not _register(cell, "CREG"):
        return DSP_SETUP + DSP_ADD
    return DSP_SETUP


def _pre_adds(cell: Cell) -> bool:
    return cell["parameters"].get("USE_DPORT") == "TRUE" and _register(cell, "ADREG")


def _register(cell: Cell, name: str) -> bool:
    return _number(cell["parameters"].get(name, 0)) > 0


def _used_pins(cell: Cell, port: str) -> list[str]:
    """Input pins that the function of an output depends on."""
    nets = cell["connections"]
    pins = sorted(pin for pin in nets if pin[0] == "I")
    if port == "O5":
        pins = pins[:5]
    if "INIT" not in cell["parameters"]:
        return pins
    init = _number(cell["parameters"]["INIT"])
    fixed = [
        (k, int(nets[pin][0] == "1")) for k, pin in enumerate(pins) if isinstance(nets[pin][0], str)
    ]
    rows = [v for v in range(1 << len(pins)) if all(v >> k & 1 == bit for k, bit in fixed)]
    constant = {k for k, _ in fixed}
    return [
        pin
        for k, pin in enumerate(pins)
        if k not in constant and any((init >> v ^ init >> (v ^ 1 << k)) & 1 for v in rows)
    ]


def _number(value: str | int) -> int:
    return int(value, 2) if isinstance(value, str) else value


def _latest(delays: Iterable[Delay]) -> Delay:
    return max(delays, key=lambda delay: delay.ns, default=Delay(0.0))
