# SPDX-License-Identifier: Apache-2.0
"""Dot products with constant weights: every row a compressor tree of its own, a vector per cycle.

A weight costs nothing but the bits it adds up, in either polarity:

    general    Σ over the signed binary digits of w: e or, for a negative digit, 2^A - 1 - e
    -1, +1     2·Σ(w = 1) e - T  or  T - 2·Σ(w = -1) e, whichever has fewer; T = Σ e for all rows

The result is that of `qdeploy.fpga.compressors.dot_products` for one word that comes with `first`,
so that hw/rtl/dot_products.v is the behavioural twin here too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdeploy.fpga.compressors.dot_products import Shape, Structure, word_sums
from qdeploy.fpga.compressors.heap import Heap, add, compress, registered, rows
from qdeploy.fpga.compressors.netlist import Net, Netlist
from qdeploy.integer import Integers


def constant_structure(shape: Shape, codes: Integers, start: int, name: str) -> Structure:
    """Module `name` with the ports of hw/rtl/dot_products.v, of which it ignores `codes`.

    Args:
        shape: its shape; simd is the length of a row.
        codes: weights int64 [PE, simd].
        start: what an accumulator holds before the word, modulo 2^sum_bits.
        name: of the module.
    """
    netlist, latency = constant_netlist(shape, codes, start)
    code_bits = codes.size * shape.weight_bits
    verilog = (
        f"module {name} (input clk, input [{shape.simd * shape.element_bits - 1}:0] elements, "
        f"input [{code_bits - 1}:0] codes, input enable, input first, "
        f"output [{len(codes) * shape.sum_bits - 1}:0] sums);\n{netlist.verilog()}\nendmodule\n"
    )
    return Structure(verilog, latency, netlist.luts, netlist.registers)


def constant_netlist(shape: Shape, codes: Integers, start: int) -> tuple[Netlist, int]:
    """Cells between the ports `elements` and `sums`, and the latency; see `constant_structure`."""
    netlist = Netlist()
    nets = netlist.port("elements", shape.simd * shape.element_bits)
    elements = _Elements(netlist, nets, shape)
    sums = netlist.port("sums", len(codes) * shape.sum_bits)
    # What a word of zeros adds, the lowest elements there are.
    lowest = -(1 << (shape.element_bits - 1)) if shape.flip else 0
    constants = start + word_sums(shape, np.full_like(codes, lowest), codes)
    shared = _Shared(netlist, elements) if shape.kind in ("xnor", "binary") else None
    trees = []
    for row, constant in zip(codes, constants, strict=True):
        if shared is None:
            heap, correction = _general(elements, row)
            late, late_stage = None, 0
        else:
            heap, late, correction = shared.row(row)
            late_stage = shared.stages
        two_rows, stages = compress(netlist, heap, shape.sum_bits, late, late_stage)
        trees.append((two_rows, stages, int(constant) + correction))
    depth = max(stages for _, stages, _ in trees)
    for index, (two_rows, stages, constant) in enumerate(trees):
        aligned = two_rows
        for _ in range(depth - stages):
            aligned = registered(netlist, aligned)
        output = sums[index * shape.sum_bits : (index + 1) * shape.sum_bits]
        _add_constant(netlist, aligned, constant, output)
    return netlist, 1 + depth


class _Elements:
    """Registered bits of elements in the polarities that are used."""

    def __init__(self, netlist: Netlist, nets: list[Net], shape: Shape) -> None:
        self.netlist, self.nets, self.shape = netlist, nets, shape
        self.made: dict[tuple[int, int, bool], Net] = {}

    def bit(self, element: int, bit: int, *, inverted: bool) -> Net:
        """Bit of an unsigned element (highest bit flipped if it is signed), or its inverse."""
        key = (element, bit, inverted)
        if key not in self.made:
            net = self.nets[element * self.shape.element_bits + bit]
            if inverted != (self.shape.flip and bit == self.shape.element_bits - 1):
                net = self.netlist.lut(lambda e: 1 - e, [net])
            self.made[key] = self.netlist.register(net)
        return self.made[key]

    def put(self, heap: Heap, element: int, column: int, *, inverted: bool) -> None:
        """Add an element, shifted, or 2^A - 1 minus it."""
        for bit in range(self.shape.element_bits):
            heap[column + bit].append(self.bit(element, bit, inverted=inverted))


def _general(elements: _Elements, row: Integers) -> tuple[Heap, int]:
    """Bits of Σ w·e, and the constant that they are short of it."""
    heap: Heap = defaultdict(list)
    full, correction = (1 << elements.shape.element_bits) - 1, 0
    for element, weight in enumerate(row.tolist()):
        for column, digit in _signed_digits(weight):
            elements.put(heap, element, column, inverted=digit < 0)
            if digit < 0:
                correction -= full << column
    return heap, correction


def _signed_digits(value: int) -> Iterator[tuple[int, int]]:
    """(column, -1 or +1) of the representation with fewest digits other than zero."""
    column = 0
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            yield column, digit
            value -= digit
        value >>= 1
        column += 1


@dataclass(frozen=True)
class _Total:
    """T in both polarities."""

    plain: list[Net]
    inverted: list[Net]


class _Shared:
    """T = Σ e, and rows of -1 and +1 made with it."""

    def __init__(self, netlist: Netlist, elements: _Elements) -> None:
        self.elements, shape = elements, elements.shape
        heap: Heap = defaultdict(list)
        for element in range(shape.simd):
            elements.put(heap, element, 0, inverted=False)
        width = shape.element_sum_bits
        two_rows, stages = compress(netlist, heap, width)
        total = add(netlist, two_rows, width)
        self.stages = stages + 1
        self.total = _Total(
            [netlist.register(net) for net in total],
            [netlist.register(netlist.lut(lambda e: 1 - e, [net])) for net in total],
        )

    def row(self, row: Integers) -> tuple[Heap, Heap, int]:
        """Bits, T's bits that come later, and the constant that both are short of Σ w·e."""
        heap: Heap = defaultdict(list)
        fewer_plus = 2 * int((row > 0).sum()) <= len(row)
        chosen = np.flatnonzero(row > 0 if fewer_plus else row < 0)
        for element in chosen.tolist():
            self.elements.put(heap, element, 1, inverted=not fewer_plus)
        if fewer_plus:
            late, correction = self.total.inverted, 1 - (1 << len(self.total.inverted))
        else:
            full = (1 << self.elements.shape.element_bits) - 1
            late, correction = self.total.plain, -2 * full * len(chosen)
        return heap, {column: [net] for column, net in enumerate(late)}, correction


def _add_constant(netlist: Netlist, heap: Heap, constant: int, output: list[Net]) -> None:
    """Registers `output` = two rows + constant, one LUT pair per bit."""
    one, two = rows(heap, len(output))
    selects, data = [], []
    carry: Net = 0
    for j in range(len(output)):
        bit = constant >> j & 1
        low, high = netlist.pair(
            lambda x, y, c, k=bit: x + y + k >= 2,
            lambda x, y, c, k=bit: (x + y + k + c) & 1,
            [one[j], two[j], carry],
        )
        selects.append(high)
        data.append(carry)
        carry = low
    for net, out in zip(netlist.carry(selects, data)[0], output, strict=True):
        netlist.register(net, output=out)
