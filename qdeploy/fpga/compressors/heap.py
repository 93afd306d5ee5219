# SPDX-License-Identifier: Apache-2.0
"""Columns of bits, compressed level by level until two rows remain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from qdeploy.fpga.compressors.counters import COUNTERS
from qdeploy.fpga.compressors.netlist import ZERO, Net, Netlist

# bits of weight 2^column
Heap = dict[int, list[Net]]

ROWS = 2
# Levels between pipeline registers: two LUTs and two short carry chains fit 5 ns.
LEVELS_PER_STAGE = 2


def compress(
    netlist: Netlist, heap: Heap, width: int, late: Heap | None = None, late_stage: int = 0
) -> tuple[Heap, int]:
    """Compress to two rows.

    Args:
        netlist: receives the counters and pipeline registers.
        heap: the bits.
        width: columns that matter; the sum is modulo 2^width.
        late: bits that arrive only `late_stage` pipeline stages later.
        late_stage: see `late`.

    Returns:
        The two rows and the number of pipeline stages passed.
    """
    heap = {column: bits for column, bits in heap.items() if column < width}
    level = 0
    missing = late
    while True:
        if missing is not None and level >= late_stage * LEVELS_PER_STAGE:
            for column, bits in missing.items():
                if column < width:
                    heap[column] = heap.get(column, []) + bits
            missing = None
        low_enough = max(map(len, heap.values()), default=0) <= ROWS
        if low_enough and missing is None:
            return heap, level // LEVELS_PER_STAGE
        if not low_enough:
            heap = _level(netlist, heap)
            heap = {column: bits for column, bits in heap.items() if column < width}
        level += 1
        if level % LEVELS_PER_STAGE == 0:
            heap = registered(netlist, heap)


def registered(netlist: Netlist, heap: Heap) -> Heap:
    """Every bit behind a register."""
    return {column: [netlist.register(bit) for bit in bits] for column, bits in heap.items()}


def rows(heap: Mapping[int, list[Net]], width: int) -> list[list[Net]]:
    """Two rows as lists of `width` nets, filled up with zeros."""
    padded = [[*heap.get(column, []), ZERO, ZERO] for column in range(width)]
    return [[bits[row] for bits in padded] for row in range(ROWS)]


def add(netlist: Netlist, heap: Mapping[int, list[Net]], width: int) -> list[Net]:
    """The sum of two rows, modulo 2^width."""
    first, second = rows(heap, width)
    selects = [netlist.lut(lambda a, b: a ^ b, pair) for pair in zip(first, second, strict=True)]
    return netlist.carry(selects, first)[0]


def _level(netlist: Netlist, heap: Heap) -> Heap:
    """One level: the counters that save most, wherever they fit."""
    waiting = {column: list(bits) for column, bits in heap.items()}
    result: Heap = defaultdict(list)

    def take(column: int, count: int) -> list[Net]:
        taken, waiting[column] = waiting[column][:count], waiting[column][count:]
        return taken

    placed = False
    for counter in COUNTERS:
        for column in range(max(heap) + 1):
            while len(waiting.get(column, ())) + len(result[column]) > ROWS and all(
                len(waiting.get(column + k, ())) >= count for k, count in enumerate(counter.inputs)
            ):
                outputs = counter.place(netlist, take, column)
                placed = True
                for k, bit in enumerate(outputs):
                    result[column + k].append(bit)
    for column, bits in waiting.items():
        result[column] += bits
    if not placed:
        column = min(c for c, bits in result.items() if len(bits) > ROWS)
        pair, result[column] = result[column][:2], result[column][2:]
        carry, bit = netlist.pair(lambda a, b: a & b, lambda a, b: a ^ b, pair)
        result[column].append(bit)
        result[column + 1].append(carry)
    return {column: bits for column, bits in sorted(result.items()) if bits}
