# SPDX-License-Identifier: Apache-2.0
"""A netlist of Xilinx 7-series primitives: LUT6, LUT6_2, CARRY4, FDRE, DSP48E1.

A net is a number; `ZERO` and `ONE` are constant. The netlist can be written as Verilog and,
registers taken as wires, be evaluated in numpy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qdeploy.fpga.compressors.dsp_slice import MULTIPLICAND_BITS, OUTPUT_BITS, Slice

Net = int
Values = NDArray[np.int64]
Boolean = Callable[..., int | bool]

ZERO: Net = 0
ONE: Net = 1
LUT_INPUTS = 6
CARRY_LENGTH = 4
SHORTEST_SHIFT, LONGEST_SHIFT = 3, 32  # registers in a row of which Yosys makes a LUT


@dataclass(frozen=True)
class Lut:
    """LUT6: output = bit {inputs} of init."""

    init: int
    inputs: tuple[Net, ...]
    output: Net


@dataclass(frozen=True)
class LutPair:
    """LUT6_2: O6 as LUT6, O5 the lower half of init without the last input."""

    init: int
    inputs: tuple[Net, ...]
    low: Net
    high: Net


@dataclass(frozen=True)
class Carry:
    """CARRY4: sums = selects ^ carries, carry passes where selected, else data."""

    first: bool
    carry_in: Net
    data: tuple[Net, ...]
    selects: tuple[Net, ...]
    sums: tuple[Net, ...]
    carries: tuple[Net, ...]


@dataclass(frozen=True)
class Register:
    """FDRE; `enable` is ONE for a plain pipeline register."""

    data: Net
    enable: Net
    output: Net


Cell = Lut | LutPair | Carry | Register | Slice


@dataclass
class Netlist:
    """Cells in an order in which inputs come before their users (but for registers that loop)."""

    names: dict[Net, str] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    count: int = 2
    registered: set[Net] = field(default_factory=set)

    def port(self, name: str, bits: int, *, registered: bool = False) -> list[Net]:
        """The nets of an input port, or of an output that cells drive; lowest bit first.

        `registered`: they come from registers that nothing else reads.
        """
        nets = [self.net() for _ in range(bits)]
        self.names |= {net: f"{name}[{bit}]" for bit, net in enumerate(nets)}
        if registered:
            self.registered |= set(nets)
        return nets

    def net(self) -> Net:
        """A new net."""
        self.count += 1
        return self.count - 1

    @property
    def luts(self) -> int:
        """LUT sites used, those of shift registers among them."""
        logic = sum(isinstance(cell, (Lut, LutPair)) for cell in self.cells)
        return logic + sum(-(-length // LONGEST_SHIFT) for length in self.shift_registers())

    @property
    def registers(self) -> int:
        """Flip-flops used."""
        registers = sum(isinstance(cell, Register) for cell in self.cells)
        return registers - sum(self.shift_registers())

    def shift_registers(self) -> list[int]:
        """Lengths of the chains of plain registers of which synthesis makes LUTs.

        The registers in front of a port belong to them.
        """
        readers = Counter(net for cell in self.cells for net in _read(cell))
        data = {c.output: c.data for c in self.cells if isinstance(c, Register) and c.enable == ONE}
        # Outputs that nothing reads but the register behind.
        passed = {net for net in data.values() if readers[net] == 1 and net not in self.names}
        inner, lengths = passed & data.keys(), []
        for net in data.keys() - inner:
            length = 1
            while (net := data[net]) in inner:
                length += 1
            lengths.append(length + (readers[net] == 1 and net in self.registered))
        return [length for length in lengths if length >= SHORTEST_SHIFT]

    @property
    def slices(self) -> int:
        """DSP slices used."""
        return sum(isinstance(cell, Slice) for cell in self.cells)

    def lut(self, function: Boolean, inputs: Sequence[Net]) -> Net:
        """One function of up to six inputs."""
        output = self.net()
        table = _table(function, len(inputs))
        init = sum(table << (len_ << len(inputs)) for len_ in range(64 >> len(inputs)))
        self.cells.append(Lut(init, tuple(inputs), output))
        return output

    def pair(self, low: Boolean, high: Boolean, inputs: Sequence[Net]) -> tuple[Net, Net]:
        """Two functions (low on O5, high on O6) of the same five inputs at most."""
        outputs = self.net(), self.net()
        padded = (*inputs, *(ZERO,) * (LUT_INPUTS - 1 - len(inputs)), ONE)
        copies = 32 >> len(inputs)
        halves = [
            sum(_table(f, len(inputs)) << (k << len(inputs)) for k in range(copies))
            for f in (low, high)
        ]
        self.cells.append(LutPair(halves[0] | halves[1] << 32, padded, *outputs))
        return outputs

    def nested_pair(
        self, low: Boolean, high: Boolean, inputs: Sequence[Net], last: Net
    ) -> tuple[Net, Net]:
        """Two functions, low of five inputs, high of these and `last`; equal where `last` is 0."""
        upper = _table(lambda *bits: high(*bits, 1), 5)
        lower = _table(lambda *bits: high(*bits, 0), 5)
        assert len(inputs) == 5
        assert lower == _table(low, 5)
        outputs = self.net(), self.net()
        self.cells.append(LutPair(lower | upper << 32, (*inputs, last), *outputs))
        return outputs

    def carry(
        self, selects: Sequence[Net], data: Sequence[Net], carry_in: Net = ZERO
    ) -> tuple[list[Net], Net]:
        """A carry chain of any length: its sums and the last carry."""
        sums: list[Net] = []
        carry = carry_in
        for start in range(0, len(selects), CARRY_LENGTH):
            part = slice(start, start + CARRY_LENGTH)
            used = len(selects[part])
            fill = (ZERO,) * (CARRY_LENGTH - used)
            outputs, carries = ([self.net() for _ in range(CARRY_LENGTH)] for _ in range(2))
            self.cells.append(
                Carry(
                    start == 0,
                    carry,
                    (*data[part], *fill),
                    (*selects[part], *fill),
                    tuple(outputs),
                    tuple(carries),
                )
            )
            sums += outputs[:used]
            carry = carries[used - 1]
        return sums, carry

    def register(self, data: Net, enable: Net = ONE, output: Net | None = None) -> Net:
        """A flip-flop; constants need none."""
        if data in (ZERO, ONE) and output is None:
            return data
        result = self.net() if output is None else output
        self.cells.append(Register(data, enable, result))
        return result

    def slice(
        self,
        added: Mapping[int, Net],
        taken: Mapping[int, Net],
        factor: Sequence[Net],
        constant: int,
        before: Slice | None,
        *,
        early: bool,
    ) -> Slice:
        """A DSP slice; `added` and `taken` are nets by the bit that they are."""
        plus, minus = (
            tuple(nets.get(bit, ZERO) for bit in range(MULTIPLICAND_BITS))
            for nets in (added, taken)
        )
        outputs = tuple(self.net() for _ in range(OUTPUT_BITS))
        cell = Slice(plus, minus, tuple(factor), constant, before, early, outputs)
        self.cells.append(cell)
        return cell

    def evaluate(self, inputs: Mapping[Net, Values]) -> dict[Net, Values]:
        """Every net for columns of input bits, registers taken as wires; loops keep their input."""
        shape = next(iter(inputs.values())).shape
        values = {ZERO: np.zeros(shape, np.int64), ONE: np.ones(shape, np.int64), **inputs}
        for cell in self.cells:
            if isinstance(cell, Register):
                values.setdefault(cell.output, values[cell.data])
            elif isinstance(cell, Slice):
                cell.evaluate(values)
            elif isinstance(cell, Carry):
                _evaluate_carry(cell, values)
            else:
                table = np.array([cell.init >> k & 1 for k in range(64)], np.int64)
                address = sum((values[net] << k for k, net in enumerate(cell.inputs)), values[ZERO])
                if isinstance(cell, Lut):
                    values[cell.output] = table[address]
                else:
                    values[cell.high], values[cell.low] = table[address], table[address & 31]
        return values

    def outputs(self, name: str, inputs: Mapping[str, Values]) -> Values:
        """The next state of registers that drive port `name`, [..., bits], for input ports."""
        nets = {label: net for net, label in self.names.items()}
        columns = {
            nets[f"{port}[{bit}]"]: values[..., bit]
            for port, values in inputs.items()
            for bit in range(values.shape[-1])
        }
        values = self.evaluate(columns)
        data = {cell.output: cell.data for cell in self.cells if isinstance(cell, Register)}
        bits = sum(label.startswith(f"{name}[") for label in nets)
        return np.stack([values[data[nets[f"{name}[{bit}]"]]] for bit in range(bits)], axis=-1)

    def verilog(self) -> str:
        """The cells as instances, and declarations of the nets between them."""
        wires = [f"n{net}" for net in range(2, self.count) if net not in self.names]
        lines = [f"  wire {wire};" for wire in wires]
        lines += [f"  {_instance(cell, f'u{i}', self.name)}" for i, cell in enumerate(self.cells)]
        return "\n".join(lines)

    def name(self, net: Net) -> str:
        """Of a net in Verilog."""
        return {ZERO: "1'b0", ONE: "1'b1"}.get(net) or self.names.get(net, f"n{net}")


@lru_cache(maxsize=256)
def _table(function: Boolean, inputs: int) -> int:
    rows = product((0, 1), repeat=inputs)
    return sum(bool(function(*reversed(bits))) << row for row, bits in enumerate(rows))


def _read(cell: Cell) -> Iterable[Net]:
    """The nets that a cell reads."""
    if isinstance(cell, Register):
        return cell.data, cell.enable
    if isinstance(cell, Carry):
        return cell.carry_in, *cell.data, *cell.selects
    if isinstance(cell, Slice):
        return *cell.added, *cell.taken, *cell.factor
    return cell.inputs


def _evaluate_carry(cell: Carry, values: dict[Net, Values]) -> None:
    carry = values[cell.carry_in]
    for k in range(CARRY_LENGTH):
        select = values[cell.selects[k]]
        values[cell.sums[k]] = select ^ carry
        carry = np.where(select, carry, values[cell.data[k]])
        values[cell.carries[k]] = carry


def _instance(cell: Cell, label: str, name: Callable[[Net], str]) -> str:
    if isinstance(cell, Slice):
        return cell.instance(label, name)
    if isinstance(cell, Register):
        return (
            f"FDRE {label} (.C(clk), .CE({name(cell.enable)}), .R(1'b0), .D({name(cell.data)}), "
            f".Q({name(cell.output)}));"
        )
    if isinstance(cell, Carry):
        ports = {
            "DI": cell.data,
            "S": cell.selects,
            "O": cell.sums,
            "CO": cell.carries,
        }
        buses = ", ".join(
            f".{port}({{{', '.join(name(net) for net in reversed(nets))}}})"
            for port, nets in ports.items()
        )
        chained, first = ("1'b0", name(cell.carry_in))[:: 1 if cell.first else -1]
        return f"CARRY4 {label} (.CI({chained}), .CYINIT({first}), {buses});"
    inputs = (*cell.inputs, *(ZERO,) * (LUT_INPUTS - len(cell.inputs)))
    pins = ", ".join(f".I{k}({name(net)})" for k, net in enumerate(inputs))
    outputs = (
        f".O({name(cell.output)})"
        if isinstance(cell, Lut)
        else f".O5({name(cell.low)}), .O6({name(cell.high)})"
    )
    kind = "LUT6" if isinstance(cell, Lut) else "LUT6_2"
    return f"{kind} #(.INIT(64'h{cell.init:016x})) {label} ({pins}, {outputs});"
