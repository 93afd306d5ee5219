# SPDX-License-Identifier: Apache-2.0
"""Dot products of one vector of elements with PE rows of weight codes, accumulated.

Per word of SIMD elements e (unsigned, see `products`) and codes w a row adds

    xnor       #{e = w} = Σ w·e + #{w < 0}                  A = 1           w one bit: -1 or +1
    binary     Σ w·e + 2^k - 1, with 2^k > Σ e                              w one bit: -1 or +1
    ternary    Σ w·e + 2^A·SIMD - #{w < 0}                                  w (not zero, negative)
    integer    Σ w·e + 2^(B-1)·(2^A - 1)·SIMD                               w of B bits

all of which are sums of bits, without subtraction. With the start value that the accumulator takes
before the first word it is never negative; sum - offset(row) is the true dot product.
The behavioural twin is hw/rtl/dot_products.v.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from qdeploy.fpga.compressors import products
from qdeploy.fpga.compressors.heap import Heap, add, compress, registered, rows
from qdeploy.fpga.compressors.netlist import Net, Netlist
from qdeploy.integer import Integers

Kind = Literal["xnor", "binary", "ternary", "integer"]
KINDS: tuple[Kind, ...] = ("xnor", "binary", "ternary", "integer")
_PRODUCTS = {
    "xnor": products.equal_bits,
    "binary": products.masked,
    "ternary": products.ternary,
    "integer": products.integer,
}


@dataclass(frozen=True)
class Shape:
    """Shape of a unit.

    Attributes:
        kind: how codes are stored and multiplied.
        simd: elements of a word.
        element_bits: of an element.
        element_signed: two's complement.
        weight_bits: of a code: 1 for xnor and binary, 2 for ternary.
        sum_bits: of an accumulator.
        narrow: integer codes are never the lowest of so many bits.
    """

    kind: Kind
    simd: int
    element_bits: int
    element_signed: bool
    weight_bits: int
    sum_bits: int
    narrow: bool = False

    @property
    def flip(self) -> bool:
        """Whether the highest bit of an element is inverted."""
        return self.element_signed

    @property
    def element_sum_bits(self) -> int:
        """K of the binary kind."""
        return (self.simd * ((1 << self.element_bits) - 1)).bit_length()


@dataclass(frozen=True)
class Structure:
    """The unit in LUTs and carry chains.

    Attributes:
        verilog: modules; the last is the unit.
        latency: cycles from a word to the cycle in which `enable` adds it.
        luts, registers: of the whole unit, exactly.
    """

    verilog: str
    latency: int
    luts: int
    registers: int


@dataclass(frozen=True)
class Size:
    """What a unit is made of, and its latency.

    Attributes:
        luts, registers: of one row.
        shared_luts, shared_registers: of what all rows share.
        latency: as in `Structure`.
        slices: DSP slices of all rows.
    """

    luts: int
    registers: int
    shared_luts: int
    shared_registers: int
    latency: int
    slices: int = 0


@lru_cache(maxsize=4096)
def size(shape: Shape) -> Size:
    """The numbers of `structure`, remembered."""
    shared, shared_stages = _element_sum(shape) if shape.kind == "binary" else (Netlist(), 0)
    row, latency = _row(shape, 0, shared_stages)
    return Size(row.luts, row.registers, shared.luts, shared.registers, latency)


def structure(shape: Shape, pe: int, start: int, name: str) -> Structure:
    """The unit as module `name`, with the ports of hw/rtl/dot_products.v.

    Args:
        shape: its shape.
        pe: rows per cycle.
        start: what an accumulator holds before the first word, modulo 2^sum_bits.
        name: of the module.
    """
    shared, shared_stages = _element_sum(shape) if shape.kind == "binary" else (None, 0)
    row, latency = _row(shape, start, shared_stages)
    parts = [_row_verilog(shape, row, f"{name}_row")]
    if shared is not None:
        parts.append(_shared_verilog(shape, shared, f"{name}_elements"))
    parts.append(_unit_verilog(shape, pe, name))
    return Structure(
        "\n".join(parts),
        latency,
        pe * row.luts + (shared.luts if shared else 0),
        pe * row.registers + (shared.registers if shared else 0),
    )


def word_sums(shape: Shape, elements: Integers, codes: Integers) -> Integers:
    """What a row adds for words of elements [..., simd] (true values) and weights [..., simd]."""
    unsigned = elements.astype(np.int64)
    if shape.flip:
        unsigned = unsigned + (1 << (shape.element_bits - 1))
    dots: Integers = (unsigned * codes).sum(-1)
    if shape.kind == "xnor":
        dots += (codes < 0).sum(-1)
    elif shape.kind == "binary":
        dots += (1 << shape.element_sum_bits) - 1
    elif shape.kind == "ternary":
        dots += (shape.simd << shape.element_bits) - (codes < 0).sum(-1)
    else:
        dots += ((1 << shape.element_bits) - 1) * shape.simd << (shape.weight_bits - 1)
    return dots


def next_sums(
    shape: Shape, start: int, elements: Integers, codes: Integers, held: Integers | None = None
) -> Integers:
    """What the accumulator of the structure holds after a word, found by evaluating its cells.

    Args:
        shape: of the unit.
        start: see `structure`.
        elements: [..., simd] as stored: two's complement modulo 2^element_bits.
        codes: weights [..., simd].
        held: what the accumulator held before [...]; None: the word comes with `first`.
    """
    stages = 0
    inputs: dict[str, Integers] = {"elements": _bits(elements, shape.element_bits)}
    if shape.kind == "binary":
        shared, stages = _element_sum(shape)
        inputs["inverted_sum"] = shared.outputs("inverted_sum", inputs)
    row, _ = _row(shape, start, stages)
    stored = (codes + 1) // 2 if shape.weight_bits == 1 else codes
    if shape.kind == "ternary":
        stored = (codes != 0) + 2 * (codes < 0)
    digits = stored[..., np.newaxis, :] >> np.arange(shape.weight_bits)[:, np.newaxis] & 1
    inputs["codes"] = digits.reshape(*codes.shape[:-1], -1)
    first = np.full((*codes.shape[:-1], 1), held is None, np.int64)
    before = np.zeros(codes.shape[:-1], np.int64) if held is None else held
    inputs |= {"first": first, "enable": np.ones_like(first)}
    inputs["sum"] = _bits(before[..., np.newaxis], shape.sum_bits)
    weights = 1 << np.arange(shape.sum_bits, dtype=np.int64)
    sums: Integers = (row.outputs("sum", inputs) * weights).sum(-1)
    return sums


def _bits(values: Integers, bits: int) -> Integers:
    """[..., n] to [..., n * bits], lowest bit of the first value first."""
    digits = values[..., np.newaxis] >> np.arange(bits) & 1
    return digits.reshape(*values.shape[:-1], -1)


def _element_sum(shape: Shape) -> tuple[Netlist, int]:
    """2^k - 1 - Σ e, one row of bits, shared by all rows of weights."""
    netlist = Netlist()
    nets = netlist.port("elements", shape.simd * shape.element_bits)
    bits, width = shape.element_bits, shape.element_sum_bits
    heap: Heap = {b: [nets[i * bits + b] for i in range(shape.simd)] for b in range(bits)}
    if shape.flip:
        top = heap[bits - 1]
        heap[bits - 1] = [netlist.lut(lambda e: 1 - e, [net]) for net in top]
    two_rows, stages = compress(netlist, heap, width)
    total = add(netlist, two_rows, width)
    output = netlist.port("inverted_sum", width)
    for bit, net in zip(total, output, strict=True):
        netlist.register(netlist.lut(lambda e: 1 - e, [bit]), output=net)
    return netlist, stages + 1


def _row(shape: Shape, start: int, shared_stages: int) -> tuple[Netlist, int]:
    netlist = Netlist()
    simd, bits = shape.simd, shape.element_bits
    element_nets = netlist.port("elements", simd * bits)
    code_nets = netlist.port("codes", simd * shape.weight_bits)
    elements = [element_nets[i * bits : (i + 1) * bits] for i in range(simd)]
    codes = [[code_nets[b * simd + i] for b in range(shape.weight_bits)] for i in range(simd)]
    heap = registered(netlist, _PRODUCTS[shape.kind](netlist, elements, codes, shape.flip))
    late = None
    if shape.kind == "binary":
        heap = {column + 1: nets for column, nets in heap.items()}
        shared = netlist.port("inverted_sum", shape.element_sum_bits)
        late = {column: [net] for column, net in enumerate(shared)}
    stages_to_wait = max(0, shared_stages - 1)
    two_rows, stages = compress(netlist, heap, shape.sum_bits, late, stages_to_wait)
    (enable,), (first,) = netlist.port("enable", 1), netlist.port("first", 1)
    accumulate(netlist, two_rows, netlist.port("sum", shape.sum_bits), start, enable, first)
    return netlist, 1 + stages


def accumulate(
    netlist: Netlist, heap: Heap, accumulator: list[Net], start: int, enable: Net, first: Net
) -> None:
    """Accumulator = (first ? start : accumulator) + two rows, one LUT pair per bit."""
    one, two = rows(heap, len(accumulator))
    selects, data = [], []
    carry: Net = 0
    for j in range(len(accumulator)):
        bit = start >> j & 1
        low, high = netlist.pair(
            lambda x, y, z, c, f, k=bit: x + y + (k if f else z) >= 2,
            lambda x, y, z, c, f, k=bit: (x + y + (k if f else z) + c) & 1,
            [one[j], two[j], accumulator[j], carry, first],
        )
        selects.append(high)
        data.append(carry)
        carry = low
    for net, output in zip(netlist.carry(selects, data)[0], accumulator, strict=True):
        netlist.register(net, enable, output)


def _row_verilog(shape: Shape, row: Netlist, name: str) -> str:
    shared = ""
    if shape.kind == "binary":
        shared = f" input [{shape.element_sum_bits - 1}:0] inverted_sum,"
    return (
        f"module {name} (input clk, input [{shape.simd * shape.element_bits - 1}:0] elements, "
        f"input [{shape.simd * shape.weight_bits - 1}:0] codes,{shared} input [0:0] enable, "
        f"input [0:0] first, output [{shape.sum_bits - 1}:0] sum);\n{row.verilog()}\nendmodule\n"
    )


def _shared_verilog(shape: Shape, shared: Netlist, name: str) -> str:
    return (
        f"module {name} (input clk, input [{shape.simd * shape.element_bits - 1}:0] elements, "
        f"output [{shape.element_sum_bits - 1}:0] inverted_sum);\n{shared.verilog()}\nendmodule\n"
    )


def _unit_verilog(shape: Shape, pe: int, name: str) -> str:
    codes, sums = shape.simd * shape.weight_bits, shape.sum_bits
    shared, port = "", ""
    if shape.kind == "binary":
        shared = (
            f"  wire [{shape.element_sum_bits - 1}:0] inverted_sum;\n"
            f"  {name}_elements shared (.clk(clk), .elements(elements), "
            ".inverted_sum(inverted_sum));\n"
        )
        port = ".inverted_sum(inverted_sum), "
    return (
        f"module {name} (input clk, input [{shape.simd * shape.element_bits - 1}:0] elements, "
        f"input [{pe * codes - 1}:0] codes, input enable, input first, "
        f"output [{pe * sums - 1}:0] sums);\n{shared}"
        f"  genvar p;\n  generate for (p = 0; p < {pe}; p = p + 1) begin : rows\n"
        f"    {name}_row row (.clk(clk), .elements(elements), .codes(codes[p*{codes}+:{codes}]), "
        f"{port}.enable(enable), .first(first), .sum(sums[p*{sums}+:{sums}]));\n"
        "  end endgenerate\nendmodule\n"
    )
