# SPDX-License-Identifier: Apache-2.0
"""The first level: products of elements and weight codes as bits to be added up.

Elements are unsigned numbers of A bits. Of a signed element the highest bit is inverted here, which
adds 2^(A-1) to it; `flip` says so. What the sums are off their true value by does not depend on the
elements: `qdeploy.fpga.compressors.dot_products` accounts for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from qdeploy.fpga.compressors.heap import Heap
from qdeploy.fpga.compressors.netlist import Net, Netlist

Elements = Sequence[Sequence[Net]]
Codes = Sequence[Sequence[Net]]


def equal_bits(netlist: Netlist, elements: Elements, codes: Codes, flip: bool) -> Heap:
    """Bipolar elements times binary codes: how many bits are equal, three lanes in two LUTs."""
    heap: Heap = defaultdict(list)

    def count(*v: int) -> int:
        return sum(e == w for e, w in zip(v[::2], v[1::2], strict=True))

    for lanes in _groups(len(elements), 3):
        inputs = [net for i in lanes for net in (elements[i][0], codes[i][0])]
        heap[0].append(netlist.lut(lambda *v: count(*v) & 1, inputs))
        if len(lanes) > 1:
            heap[1].append(netlist.lut(lambda *v: count(*v) >> 1, inputs))
    return heap


def masked(
    netlist: Netlist,
    elements: Elements,
    codes: Codes,
    flip: bool,
    plane: int = 0,
    negative: bool = False,
) -> Heap:
    """Elements whose code has bit `plane`, at that weight; `negative`: 2^A - 1 minus that.

    Two lanes are added in one LUT per bit and a carry chain, single bits of three in two LUTs.
    """
    heap: Heap = defaultdict(list)
    bits = len(elements[0])
    flips = [flip and b == bits - 1 for b in range(bits)]
    if bits == 1:
        f = flips[0]

        def count(*v: int) -> int:
            return sum(((e ^ f) & w) ^ negative for e, w in zip(v[::2], v[1::2], strict=True))

        for lanes in _groups(len(elements), 3):
            inputs = [net for i in lanes for net in (elements[i][0], codes[i][plane])]
            if len(lanes) == 2:
                two, one = netlist.pair(lambda *v: count(*v) >> 1, lambda *v: count(*v) & 1, inputs)
                heap[plane].append(one)
                heap[plane + 1].append(two)
                continue
            heap[plane].append(netlist.lut(lambda *v: count(*v) & 1, inputs))
            if len(lanes) == 3:
                heap[plane + 1].append(netlist.lut(lambda *v: count(*v) >> 1, inputs))
        return heap
    for lanes in _groups(len(elements), 2):
        data, selects = [], []
        for b, f in enumerate(flips):
            inputs = [net for i in lanes for net in (elements[i][b], codes[i][plane])]
            if len(lanes) == 1:
                heap[plane + b].append(
                    netlist.lut(lambda e, w, f=f: ((e ^ f) & w) ^ negative, inputs)
                )
                continue
            low, high = netlist.pair(
                lambda e, w, g, v, f=f: ((e ^ f) & w) ^ negative,
                lambda e, w, g, v, f=f: ((e ^ f) & w) ^ ((g ^ f) & v),
                inputs,
            )
            data.append(low)
            selects.append(high)
        if len(lanes) == 2:
            _add_chain(netlist, heap, plane, selects, data)
    return heap


def integer(netlist: Netlist, elements: Elements, codes: Codes, flip: bool) -> Heap:
    """Codes in two's complement, plane by plane; the highest plane is subtracted."""
    heap: Heap = defaultdict(list)
    planes = len(codes[0])
    for plane in range(planes):
        products = masked(netlist, elements, codes, flip, plane, plane == planes - 1)
        for column, bits in products.items():
            heap[column] += bits
    return heap


def ternary(netlist: Netlist, elements: Elements, codes: Codes, flip: bool) -> Heap:
    """Codes (not zero, negative): ((e ^ negative) & not zero) and, of weight 2^A, not negative.

    Two lanes take one LUT pair per bit: its sixth input only reaches the second product.
    """
    heap: Heap = defaultdict(list)
    bits = len(elements[0])
    for lanes in _groups(len(elements), 2):
        nonzero, negative = zip(*(codes[i] for i in lanes), strict=True)
        data, selects = [], []
        for b in range(bits):
            f = flip and b == bits - 1
            first = elements[lanes[0]][b]
            if len(lanes) == 1:
                heap[b].append(
                    netlist.lut(
                        lambda e, n, s, f=f: (e ^ f ^ s) & n, [first, nonzero[0], negative[0]]
                    )
                )
                continue
            low, high = netlist.nested_pair(
                lambda e, n, s, g, t, f=f: (e ^ f ^ s) & n,
                lambda e, n, s, g, t, m, f=f: ((e ^ f ^ s) & n) ^ ((g ^ f ^ t) & m),
                [first, nonzero[0], negative[0], elements[lanes[1]][b], negative[1]],
                nonzero[1],
            )
            data.append(low)
            selects.append(high)
        if len(lanes) == 1:
            heap[bits].append(netlist.lut(lambda s: 1 - s, negative))
            continue
        low, high = netlist.pair(lambda s, t: 1 - s, lambda s, t: s ^ t, negative)
        _add_chain(netlist, heap, 0, [*selects, high], [*data, low])
    return heap


def _add_chain(
    netlist: Netlist, heap: Heap, column: int, selects: list[Net], data: list[Net]
) -> None:
    sums, carry = netlist.carry(selects, data)
    for k, bit in enumerate([*sums, carry]):
        heap[column + k].append(bit)


def _groups(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
