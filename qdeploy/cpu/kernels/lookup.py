# SPDX-License-Identifier: Apache-2.0
"""Sums of products by table lookups in registers, for weights of two to four values.

A group is as many weights as an index into a table has room for. The activation bytes of a group
select tables, whose sum holds, at each index, the group's sum of products minus its smallest
possible value. One shuffle instruction looks up as many outputs as a register has bytes. Sums of
bytes are added to sums of 16 bits before they can overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import (
    BYTE,
    LONG,
    POINTER,
    SHORT,
    Code,
    Value,
    Variable,
    everywhere,
    splat,
    vector,
)
from qdeploy.cpu.kernels.targets import Target, look_up, spread_table


def bank_bytes(entries: int) -> int:
    """Bytes of the tables of one activation byte: 256 of 16 entries, or 128 of 64."""
    return 256 * 16 if entries == 16 else 128 * 64


@dataclass(frozen=True)
class LookupTile:
    """The sums of some rows of activations with the weights of `outputs` outputs.

    Weights: for each pair of groups, tap by tap, one byte per output, the even group in the low
    half; a group that is left over has bytes of its own. For tables of 64 entries, each group has
    bytes of its own. Sums, modulo 2^16: for each row and register of outputs a vector of the sums
    of outputs 2k plus 256 times those of 2k + 1, then one of those of 2k + 1.

    Attributes:
        rows: rows of activations at once.
        vectors: registers of outputs at once.
        lanes: bytes of a register.
        group_bytes: activation bytes of a group, each with a bank of tables of its own.
        flush: groups whose sum fits a byte, at least one.
        taps: how many rows, from its own on, each sum takes activations of, with weights for each;
            so that a table serves many sums.
        entries: of a table, 16 or 64.
        fresh: whether sums begin with a number, not with what they are.
    """

    rows: int
    vectors: int
    lanes: int
    group_bytes: int
    flush: int
    taps: int = 1
    entries: int = 16
    fresh: bool = False

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.lanes

    @property
    def packed(self) -> int:
        """Indices in a byte of weights."""
        return 2 if self.entries == 16 else 1

    @property
    def least_flush(self) -> int:
        """Groups that are added between two looks at `flush`."""
        return self.packed * self.taps

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums."""
        return self.rows * self.outputs * 2

    def weight_bytes(self, groups: int) -> int:
        """Bytes of the weights of `groups` groups (of each tap)."""
        return -(-groups // self.packed) * self.taps * self.outputs

    def emit(self, module: ir.Module, target: Target, groups: int, *, inline: bool) -> ir.Function:
        """tile(activations, bytes between rows, weights, banks, sums, start).

        Adds the products of `groups` groups to the sums, or to `start` (int16).
        """
        shape = f"{self.rows}x{self.vectors}x{self.lanes}"
        name = f"lookup_{shape}_{self.group_bytes}_{self.flush}_{self.taps}_{self.entries}"
        name += f"_{groups}{'_fresh' if self.fresh else ''}{'_inline' if inline else ''}"
        if name not in module.globals:
            kinds = [POINTER, LONG, POINTER, POINTER, POINTER, SHORT]
            code = Code(module, name, kinds, inline=inline)
            _Writer(self, code, target).write(groups)
        return module.globals[name]


class _Writer:
    """Writes the function of one tile."""

    def __init__(self, tile: LookupTile, code: Code, target: Target) -> None:
        self.tile, self.code, self.target = tile, code, target
        activations, stride, weights, self.banks, self.sums, self.start = code.arguments
        self.rows = [
            code.at(activations, code.scaled(stride, m)) for m in range(tile.rows + tile.taps - 1)
        ]
        self.weight = code.variable(POINTER, weights)
        self.position = code.variable(LONG, code.long(0))  # in each row, bytes
        self.bytes = vector(BYTE, tile.lanes)
        self.shorts = vector(SHORT, tile.lanes // 2)

    def write(self, groups: int) -> None:
        code, tile = self.code, self.tile
        totals = self._totals()
        steps, left = divmod(groups, tile.packed)
        at_once = tile.flush // tile.least_flush
        if at_once > 1 and steps:
            # As few copies of the loop as possible: equal parts.
            together = -(-steps // -(-steps // at_once))
            whole, rest = divmod(steps, together)
            with code.loop(whole):
                self._steps(together, totals)
            if rest:
                self._steps(rest, totals)
        else:
            halves = list(range(tile.packed))
            with code.loop(steps):
                for some in [halves] if at_once else [[half] for half in halves]:
                    self._groups(some, totals)
                self._next_weights()
        if left:
            self._groups([0], totals)
        for offsets, parts in zip(self._offsets(), totals, strict=True):
            for at, part in zip(offsets, parts, strict=True):
                code.store(part.get(), self.sums, at)
        code.end()

    def _totals(self) -> list[list[Variable]]:
        code, build = self.code, self.code.build
        if not self.tile.fresh:
            return [
                [code.variable(self.shorts, code.load(self.shorts, self.sums, at)) for at in row]
                for row in self._offsets()
            ]
        both = build.add(self.start, build.shl(self.start, ir.Constant(SHORT, 8)))
        count = self.tile.lanes // 2
        starts = [everywhere(code, value, count) for value in (both, self.start)]
        return [
            [code.variable(self.shorts, starts[k % 2]) for k in range(len(row))]
            for row in self._offsets()
        ]

    def _offsets(self) -> list[list[int]]:
        per_row = 2 * self.tile.vectors
        return [
            [(m * per_row + k) * self.tile.lanes for k in range(per_row)]
            for m in range(self.tile.rows)
        ]

    def _zeros(self) -> list[list[Variable]]:
        zero = ir.Constant(self.bytes, None)
        return [
            [self.code.variable(self.bytes, zero) for _ in range(self.tile.vectors)]
            for _ in range(self.tile.rows)
        ]

    def _steps(self, count: int, totals: list[list[Variable]]) -> None:
        """Sums of bytes over the groups of `count` bytes of weights, then widened."""
        sums = self._zeros()
        with self.code.loop(count):
            packed = self._packed()
            for half in range(self.tile.packed):
                self._group(packed, half, sums)
            self._next_weights()
        self._widen(sums, totals)

    def _groups(self, halves: list[int], totals: list[list[Variable]]) -> None:
        """Groups of the present byte of weights, widened at once."""
        sums, packed = self._zeros(), self._packed()
        for half in halves:
            self._group(packed, half, sums)
        self._widen(sums, totals)

    def _packed(self) -> list[list[Value]]:
        """The weights of each tap."""
        tile, weight = self.tile, self.weight.get()
        return [
            [
                self.code.load(self.bytes, weight, tap * tile.outputs + tile.lanes * j)
                for j in range(tile.vectors)
            ]
            for tap in range(tile.taps)
        ]

    def _next_weights(self) -> None:
        self.weight.set(self.code.at(self.weight.get(), self.tile.taps * self.tile.outputs))

    def _group(self, packed: list[list[Value]], half: int, sums: list[list[Variable]]) -> None:
        code, build, tile = self.code, self.code.build, self.tile
        here = self.position.get()
        indices = [[self._indices(value, half) for value in values] for values in packed]
        for m, row in enumerate(self.rows):
            tables = [self._table(code.at(row, here), k) for k in range(tile.group_bytes)]
            table = tables[0]
            for other in tables[1:]:
                table = build.add(table, other)
            spread = spread_table(code, table, tile.lanes)
            for tap in range(max(0, m - tile.rows + 1), min(tile.taps, m + 1)):
                for part, index in zip(sums[m - tap], indices[tap], strict=True):
                    found = look_up(code, self.target, spread, index, tile.entries)
                    part.set(build.add(part.get(), found))
        self.position.set(build.add(here, code.long(tile.group_bytes)))

    def _table(self, activations: Value, k: int) -> Value:
        code, build, size = self.code, self.code.build, self.tile.entries
        index = build.zext(code.load(BYTE, activations, k), LONG)
        bank = code.at(self.banks, k * bank_bytes(size))
        return code.load(vector(BYTE, size), bank, code.scaled(index, size), align=size)

    def _indices(self, packed: Value, half: int) -> Value:
        build, lanes = self.code.build, self.tile.lanes
        if self.tile.packed == 1:
            return packed
        if half:
            shorts = build.bitcast(packed, self.shorts)
            packed = build.bitcast(build.lshr(shorts, splat(SHORT, lanes // 2, 4)), self.bytes)
        return build.and_(packed, splat(BYTE, lanes, 15))

    def _widen(self, sums: list[list[Variable]], totals: list[list[Variable]]) -> None:
        build, eight = self.code.build, splat(SHORT, self.tile.lanes // 2, 8)
        for row, parts in zip(sums, totals, strict=True):
            for j, total in enumerate(row):
                shorts = build.bitcast(total.get(), self.shorts)
                both, odd = parts[2 * j : 2 * j + 2]
                both.set(build.add(both.get(), shorts))
                odd.set(build.add(odd.get(), build.lshr(shorts, eight)))
