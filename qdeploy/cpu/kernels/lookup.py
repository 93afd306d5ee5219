# SPDX-License-Identifier: Apache-2.0
"""Sums of products by table lookups in registers, for weights of two to four values.

A group is four weights of two values or two of four: an index of four bits. The activation bytes of
a group select tables of 16 bytes, whose sum holds, at each index, the group's sum of products
minus its smallest possible value. One shuffle instruction looks up as many outputs as a register
has bytes. Sums of bytes are added to sums of 16 bits before they can overflow.
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
    splat,
    vector,
)
from qdeploy.cpu.kernels.targets import TABLE_BYTES, Target, look_up, spread_table

BANK_BYTES = 256 * TABLE_BYTES


@dataclass(frozen=True)
class LookupTile:
    """The sums of some rows of activations with the weights of `outputs` outputs.

    Weights: for each pair of groups one byte per output, the even group in the low half; a group
    that is left over has bytes of its own. Sums, modulo 2^16: for each row and register of outputs
    a vector of the sums of outputs 2k plus 256 times those of 2k + 1, then one of those of 2k + 1.

    Attributes:
        rows: rows of activations at once.
        vectors: registers of outputs at once.
        lanes: bytes of a register.
        group_bytes: activation bytes of a group, each with a bank of 256 tables of its own.
        flush: groups whose sum fits a byte, at least one.
    """

    rows: int
    vectors: int
    lanes: int
    group_bytes: int
    flush: int

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.lanes

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums."""
        return self.rows * self.outputs * 2

    def weight_bytes(self, groups: int) -> int:
        """Bytes of the weights of `groups` groups."""
        return (groups + 1) // 2 * self.outputs

    def emit(self, module: ir.Module, target: Target) -> ir.Function:
        """tile(activations, bytes between rows, weights, banks, sums, groups); adds to the sums."""
        name = f"lookup_{self.rows}x{self.vectors}x{self.lanes}_{self.group_bytes}_{self.flush}"
        if name not in module.globals:
            code = Code(module, name, [POINTER, LONG, POINTER, POINTER, POINTER, LONG], inline=True)
            _Writer(self, code, target).write()
        return module.globals[name]


class _Writer:
    """Writes the function of one tile."""

    def __init__(self, tile: LookupTile, code: Code, target: Target) -> None:
        self.tile, self.code, self.target = tile, code, target
        activations, stride, weights, self.banks, self.sums, self.groups = code.arguments
        self.rows = [code.at(activations, code.scaled(stride, m)) for m in range(tile.rows)]
        self.weight = code.variable(POINTER, weights)
        self.position = code.variable(LONG, code.long(0))  # in each row, bytes
        self.bytes = vector(BYTE, tile.lanes)
        self.shorts = vector(SHORT, tile.lanes // 2)

    def write(self) -> None:
        code, build = self.code, self.code.build
        totals = [
            [code.variable(self.shorts, code.load(self.shorts, self.sums, at)) for at in offsets]
            for offsets in self._offsets()
        ]
        pairs = build.lshr(self.groups, code.long(1))
        if self.tile.flush > 1:
            at_once = self.tile.flush // 2
            with code.loop(pairs, step=at_once) as done:
                self._pairs(code.least(build.sub(pairs, done), at_once), totals)
        else:
            with code.loop(pairs):
                self._groups([0], totals)
                self._groups([1], totals)
                self._next_weights()
        with code.loop(build.and_(self.groups, code.long(1))):
            self._groups([0], totals)
        for offsets, parts in zip(self._offsets(), totals, strict=True):
            for at, part in zip(offsets, parts, strict=True):
                code.store(part.get(), self.sums, at)
        code.end()

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

    def _pairs(self, count: Value, totals: list[list[Variable]]) -> None:
        """Sums of bytes over `count` pairs of groups, then widened."""
        sums = self._zeros()
        with self.code.loop(count):
            packed = self._packed()
            for half in range(2):
                self._group(packed, half, sums)
            self._next_weights()
        self._widen(sums, totals)

    def _groups(self, halves: list[int], totals: list[list[Variable]]) -> None:
        """Groups of the present pair, widened at once."""
        sums, packed = self._zeros(), self._packed()
        for half in halves:
            self._group(packed, half, sums)
        self._widen(sums, totals)

    def _packed(self) -> list[Value]:
        lanes, weight = self.tile.lanes, self.weight.get()
        return [self.code.load(self.bytes, weight, lanes * j) for j in range(self.tile.vectors)]

    def _next_weights(self) -> None:
        self.weight.set(self.code.at(self.weight.get(), self.tile.outputs))

    def _group(self, packed: list[Value], half: int, sums: list[list[Variable]]) -> None:
        code, build, here = self.code, self.code.build, self.position.get()
        indices = [self._indices(value, half) for value in packed]
        for row, parts in zip(self.rows, sums, strict=True):
            tables = [self._table(code.at(row, here), k) for k in range(self.tile.group_bytes)]
            table = tables[0] if len(tables) == 1 else build.add(*tables)
            spread = spread_table(code, table, self.tile.lanes)
            for part, index in zip(parts, indices, strict=True):
                part.set(build.add(part.get(), look_up(code, self.target, spread, index)))
        self.position.set(build.add(here, code.long(self.tile.group_bytes)))

    def _table(self, activations: Value, k: int) -> Value:
        code, build = self.code, self.code.build
        index = build.zext(code.load(BYTE, activations, k), LONG)
        bank = code.at(self.banks, k * BANK_BYTES)
        return code.load(vector(BYTE, TABLE_BYTES), bank, build.shl(index, code.long(4)), align=16)

    def _indices(self, packed: Value, half: int) -> Value:
        build, lanes = self.code.build, self.tile.lanes
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
