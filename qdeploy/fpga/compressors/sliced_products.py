# SPDX-License-Identifier: Apache-2.0
"""Dot products in DSP slices: codes of several rows times one element in each.

A slice multiplies Σ_r w_r · 2^(r·spacing) by an element e; the codes need no logic for that, as
their highest bits are subtracted (two's complement). Slices of a chain add up over the cascade, and
the first one adds 2^(B-1)·(2^A - 1) per row and element, so that no field of a sum is ever negative
and none borrows from the next: the field of row r holds what the kind "integer" of
`qdeploy.fpga.compressors.dot_products` adds for the elements of the chain. Fields of several chains
are compressed and accumulated in LUTs. The behavioural twin is hw/rtl/dot_products.v here too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil
from typing import Literal

from qdeploy.fpga.compressors import dot_products
from qdeploy.fpga.compressors.dot_products import Shape, Size, Structure, accumulate
from qdeploy.fpga.compressors.dsp_slice import FACTOR_BITS, MULTIPLICAND_BITS, STAGES, Slice
from qdeploy.fpga.compressors.heap import Heap, compress
from qdeploy.fpga.compressors.netlist import Net, Netlist

# What multiplies: LUTs (`dot_products`), or DSP slices.
Products = Literal["lut", "dsp"]
# Operands wait for their turn in flip-flops, from three cycles on tools make that LUTs.
LONGEST_CHAIN = 4


@dataclass(frozen=True)
class Packing:
    """How rows share slices.

    Attributes:
        rows: of a slice, at most; groups of rows differ by one at most.
        spacing: bits from the product of a row to that of the next.
        chains: numbers of slices that add up, one slice per element; they differ by one at most.
    """

    rows: int
    spacing: int
    chains: tuple[int, ...]


def legal_products(shape: Shape) -> tuple[Products, ...]:
    """What can multiply: DSP slices only codes that are not all in -1, 0, +1, and fit."""
    fits = shape.weight_bits < MULTIPLICAND_BITS and shape.element_bits < FACTOR_BITS
    return ("lut", "dsp") if shape.kind == "integer" and fits else ("lut",)


def packing(shape: Shape, pe: int) -> Packing:
    """As many rows in a slice as take most bits of products off the LUTs."""

    def saved(rows: int) -> float:
        chain = _longest_chain(shape, rows)
        bits = shape.element_bits * shape.weight_bits
        return rows * (bits - _field_bits(shape, chain) / chain) if chain else 0

    rows = max(range(1, min(pe, MULTIPLICAND_BITS) + 1), key=saved)
    rows = ceil(pe / ceil(pe / rows))  # as many groups, but even ones
    count = ceil(shape.simd / _longest_chain(shape, rows))
    chains = tuple((shape.simd + k) // count for k in range(count))
    return Packing(rows, _spacing(shape, rows), chains)


def size(shape: Shape, pe: int, products: Products, *, registered_codes: bool = False) -> Size:
    """The numbers of `sliced_structure` or, in LUTs, `dot_products.structure`, remembered.

    `registered_codes`: the codes of slices come from registers, which shift registers then spare.
    """
    if products == "lut":
        return dot_products.size(shape)
    plan = packing(shape, pe)
    return replace(
        _row_size(shape, plan, registered_codes), slices=ceil(pe / plan.rows) * shape.simd
    )


def sliced_structure(shape: Shape, pe: int, start: int, name: str) -> Structure:
    """The unit as module `name`, with the ports of hw/rtl/dot_products.v.

    Args:
        shape: its shape; `legal_products` says whether it can be.
        pe: rows per cycle.
        start: what an accumulator holds before the first word, modulo 2^sum_bits.
        name: of the module.
    """
    plan = packing(shape, pe)
    counted = size(shape, pe, "dsp")
    assert "dsp" in legal_products(shape)
    shared, delayed = _operands(shape, plan)
    parts, instances, first = [], [], 0
    elements, codes, sums = (
        shape.simd * shape.element_bits,
        shape.simd * shape.weight_bits,
        shape.sum_bits,
    )
    for rows, count in _groups(pe, plan):
        group, _ = group_netlist(shape, plan, rows, start)
        parts.append(
            f"module {name}_rows{rows} (input clk, input [{elements - 1}:0] elements, "
            f"input [{rows * codes - 1}:0] codes, input [0:0] enable, input [0:0] first, "
            f"output [{rows * sums - 1}:0] sums);\n{group.verilog()}\nendmodule\n"
        )
        for at in range(first, first + rows * count, rows):
            instances.append(
                f"  {name}_rows{rows} rows{at} (.clk(clk), .elements(operands), "
                f".codes(codes[{at * codes}+:{rows * codes}]), .enable(enable), .first(first), "
                f".sums(sums[{at * sums}+:{rows * sums}]));"
            )
        first += rows * count
    operands = ", ".join(map(shared.name, reversed(delayed)))
    parts.append(
        f"module {name} (input clk, input [{elements - 1}:0] elements, "
        f"input [{pe * codes - 1}:0] codes, input enable, input first, "
        f"output [{pe * sums - 1}:0] sums);\n{shared.verilog()}\n"
        f"  wire [{elements - 1}:0] operands = {{{operands}}};\n"
        + "\n".join(instances)
        + "\nendmodule\n"
    )
    return Structure(
        "\n".join(parts),
        counted.latency,
        pe * counted.luts + counted.shared_luts,
        pe * counted.registers + counted.shared_registers,
    )


def group_netlist(
    shape: Shape, plan: Packing, rows: int, start: int, *, registered_codes: bool = False
) -> tuple[Netlist, int]:
    """Rows that share slices, and their latency.

    Ports are those of hw/rtl/dot_products.v; `elements` are unsigned and as late as their codes.
    """
    netlist = Netlist()
    simd, bits, code_bits = shape.simd, shape.element_bits, shape.weight_bits
    elements = netlist.port("elements", simd * bits)
    codes = netlist.port("codes", rows * code_bits * simd, registered=registered_codes)
    heaps: list[Heap] = [defaultdict(list) for _ in range(rows)]
    each = ((1 << bits) - 1) << (code_bits - 1)
    for chain, delays in _chains(plan):
        last: Slice | None = None
        constant = sum(each * len(chain) << row * plan.spacing for row in range(rows))
        for element, delay in zip(chain, delays, strict=True):
            added: dict[int, Net] = {}
            taken: dict[int, Net] = {}
            for row, bit in product(range(rows), range(code_bits)):
                net = codes[(row * code_bits + bit) * simd + element]
                for _ in range(delay - 1):
                    net = netlist.register(net)
                of = taken if bit == code_bits - 1 else added
                of[row * plan.spacing + bit] = net
            factor = elements[element * bits : (element + 1) * bits]
            last = netlist.slice(added, taken, factor, constant, last, early=delay == 0)
        assert last is not None
        for row, heap in enumerate(heaps):
            for bit in range(_field_bits(shape, len(chain))):
                heap[bit].append(last.outputs[row * plan.spacing + bit])
    (enable,), (first,) = netlist.port("enable", 1), netlist.port("first", 1)
    sums = netlist.port("sums", rows * shape.sum_bits)
    stages = 0
    for row, heap in enumerate(heaps):
        two_rows, stages = compress(netlist, heap, shape.sum_bits)
        accumulator = sums[row * shape.sum_bits : (row + 1) * shape.sum_bits]
        accumulate(netlist, two_rows, accumulator, start, enable, first)
    return netlist, STAGES + max(plan.chains) - 2 + stages


@lru_cache(maxsize=4096)
def _row_size(shape: Shape, plan: Packing, registered_codes: bool) -> Size:
    row, latency = group_netlist(shape, plan, 1, 0, registered_codes=registered_codes)
    shared, _ = _operands(shape, plan)
    return Size(row.luts, row.registers, shared.luts, shared.registers, latency)


def _operands(shape: Shape, plan: Packing) -> tuple[Netlist, list[Net]]:
    """Elements without sign, each as late as its slice wants it."""
    netlist = Netlist()
    nets = netlist.port("elements", shape.simd * shape.element_bits, registered=True)
    for chain, delays in _chains(plan):
        for element, delay in zip(chain, delays, strict=True):
            for bit in range(shape.element_bits):
                place = element * shape.element_bits + bit
                if shape.flip and bit == shape.element_bits - 1:
                    nets[place] = netlist.lut(lambda e: 1 - e, [nets[place]])
                for _ in range(delay - 1):
                    nets[place] = netlist.register(nets[place])
    return netlist, nets


def _chains(plan: Packing) -> Iterator[tuple[range, range]]:
    """Elements of each chain and their delays; all chains end in the same cycle.

    The delay of the second slice of the longest chain is a register that the slice has.
    """
    first, longest = 0, max(plan.chains)
    for length in plan.chains:
        yield range(first, first + length), range(longest - length, longest)
        first += length


def _groups(pe: int, plan: Packing) -> list[tuple[int, int]]:
    """(rows, how many groups of so many)."""
    groups = ceil(pe / plan.rows)
    smaller = groups * plan.rows - pe
    counts = [(plan.rows, groups - smaller), (plan.rows - 1, smaller)]
    return [(rows, count) for rows, count in counts if count]


def _spacing(shape: Shape, rows: int) -> int:
    """As wide as the sum of the codes, shifted, stays within the multiplicand."""
    highest = MULTIPLICAND_BITS - shape.weight_bits - (not shape.narrow)
    return highest // (rows - 1) if rows > 1 else 0


def _longest_chain(shape: Shape, rows: int) -> int:
    """Slices whose sum does not outgrow a field; 0 if not even a product fits."""
    longest = min(LONGEST_CHAIN, shape.simd)
    if rows == 1:
        return longest
    return min(longest, ((1 << _spacing(shape, rows)) - 1) // _largest(shape))


def _field_bits(shape: Shape, chain: int) -> int:
    return (chain * _largest(shape)).bit_length()


def _largest(shape: Shape) -> int:
    """What one element adds at most."""
    return ((1 << shape.weight_bits) - 1) * ((1 << shape.element_bits) - 1)
