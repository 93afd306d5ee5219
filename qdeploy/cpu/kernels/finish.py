# SPDX-License-Identifier: Apache-2.0
"""From the sums of a tile to what the next layer reads: levels packed into bytes, or integers.

Sums are int32 in the order of the outputs, or int16 as `LookupTile` leaves them ("short").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, SHORT, WORD, Code, Value, splat, vector


@dataclass(frozen=True)
class Sums:
    """Layout of the sums of a tile: for each row `vectors` times `lanes` outputs.

    Attributes:
        vectors: as in the tile.
        lanes: outputs of a vector.
        short: whether they are int16 as `LookupTile` leaves them, else int32.
    """

    vectors: int
    lanes: int
    short: bool

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.lanes

    @property
    def name(self) -> str:
        """For the names of functions."""
        return f"{'short' if self.short else 'word'}_{self.vectors}x{self.lanes}"

    def of(self, code: Code, sums: Value, row: Value, j: int) -> Value:
        """The sums of vector `j` of a row in the order of the outputs, int16 or int32."""
        if not self.short:
            here = code.at(sums, code.scaled(row, 4 * self.outputs, 4 * self.lanes * j))
            return code.load(vector(WORD, self.lanes), here)
        even, odd = self.halves(code, sums, row, j)
        order = [k // 2 + self.lanes // 2 * (k % 2) for k in range(self.lanes)]
        return code.build.shuffle_vector(even, odd, ir.Constant(vector(WORD, self.lanes), order))

    def halves(self, code: Code, sums: Value, row: Value, j: int) -> tuple[Value, Value]:
        """The sums of the even and of the odd outputs of vector `j`, int16."""
        here = code.at(sums, code.scaled(row, 2 * self.outputs, 2 * self.lanes * j))
        kind = vector(SHORT, self.lanes // 2)
        both, odd = code.load(kind, here), code.load(kind, here, self.lanes)
        shifted = code.build.shl(odd, splat(SHORT, self.lanes // 2, 8))
        return code.build.sub(both, shifted), odd


@dataclass(frozen=True)
class Packing:
    """Levels in bytes: `fields` neighbouring channels of `bits` bits each, the first one lowest."""

    fields: int
    bits: int

    @property
    def name(self) -> str:
        """For the names of functions."""
        return f"{self.fields}of{self.bits}"

    def pack(self, code: Code, levels: Value) -> Value:
        """Bytes with a level each to bytes with `fields`."""
        if self.fields == 1:
            return levels
        build, lanes = code.build, levels.type.count // self.fields
        wide = ir.IntType(8 * self.fields)
        value = build.bitcast(levels, vector(wide, lanes))
        packed = value
        for k in range(1, self.fields):
            packed = build.or_(packed, build.lshr(value, splat(wide, lanes, (8 - self.bits) * k)))
        return build.trunc(packed, vector(BYTE, lanes))


def emit_widen(module: ir.Module, sums: Sums, *, per_output: bool) -> ir.Function:
    """widen(sums, totals, multipliers, rows): int32 totals += multiplier · sum.

    One multiplier (int32), or one for each output of the tile.
    """

    def body(code: Code) -> None:
        build = code.build
        source, totals, multipliers, rows = code.arguments
        kind = vector(WORD, sums.lanes)
        with code.loop(rows) as row:
            for j in range(sums.vectors):
                value = sums.of(code, source, row, j)
                if sums.short:
                    value = build.sext(value, kind)
                if per_output:
                    factor = code.load(kind, multipliers, 4 * sums.lanes * j)
                else:
                    factor = _everywhere(code, code.load(WORD, multipliers), sums.lanes)
                here = code.at(totals, code.scaled(row, 4 * sums.outputs, 4 * sums.lanes * j))
                total = build.add(code.load(kind, here), build.mul(value, factor))
                code.store(total, here)

    name = f"widen_{sums.name}_{'each' if per_output else 'one'}"
    return _function(module, name, [POINTER, POINTER, POINTER, LONG], body)


def emit_levels(
    module: ir.Module, sums: Sums, thresholds: int, packing: Packing, size: int, *, mapped: bool
) -> ir.Function:
    """levels(sums, table, output, bytes between rows, rows): packed numbers of thresholds reached.

    The table holds, for each vector of outputs, the thresholds one after the other in the type and
    order of the sums (of short ones the even outputs, then the odd ones). If `mapped`, it ends with
    a byte for each output that is xor-ed to the number, and one that is added then. Only the first
    `size` bytes of a row are written.
    """
    element = 2 if sums.short else 4

    def body(code: Code) -> None:
        build = code.build
        source, table, output, stride, rows = code.arguments
        maps = code.at(table, element * thresholds * sums.outputs)
        with code.loop(rows) as row:
            parts = []
            for j in range(sums.vectors):
                here = code.at(table, element * thresholds * sums.lanes * j)
                levels = _count(code, sums, source, row, j, here, thresholds)
                if mapped:
                    kind = vector(BYTE, sums.lanes)
                    flip = code.load(kind, maps, sums.lanes * j)
                    shift = code.load(kind, maps, sums.outputs + sums.lanes * j)
                    levels = build.add(build.xor(levels, flip), shift)
                parts.append(packing.pack(code, levels))
            here = code.at(output, build.mul(row, stride))
            _store_prefix(code, _joined(code, parts), here, size)

    name = f"levels_{sums.name}_{thresholds}_{packing.name}_{size}{'_mapped' if mapped else ''}"
    return _function(module, name, [POINTER, POINTER, POINTER, LONG, LONG], body)


def emit_integers(
    module: ir.Module, sums: Sums, packing: Packing | None, outputs: int
) -> ir.Function:
    """integers(sums, addends, output, bytes between rows, rows): sums plus int32 addends.

    They are written as int32, or as levels where there is a packing. Only the first `outputs`
    outputs of a row are written; fields behind them are zero.
    """

    def body(code: Code) -> None:
        build = code.build
        source, addends, output, stride, rows = code.arguments
        kind = vector(WORD, sums.lanes)
        with code.loop(rows) as row:
            parts = []
            for j in range(sums.vectors):
                value = sums.of(code, source, row, j)
                if sums.short:
                    value = build.sext(value, kind)
                value = build.add(value, code.load(kind, addends, 4 * sums.lanes * j))
                if packing is not None:
                    real = [int(k < outputs - sums.lanes * j) for k in range(sums.lanes)]
                    levels = build.trunc(value, vector(BYTE, sums.lanes))
                    levels = build.mul(levels, ir.Constant(levels.type, real))
                    value = packing.pack(code, levels)
                parts.append(value)
            here = code.at(output, build.mul(row, stride))
            size = outputs if packing is None else -(-outputs // packing.fields)
            _store_prefix(code, _joined(code, parts), here, size)

    name = f"integers_{sums.name}_{packing.name if packing else 'word'}_{outputs}"
    return _function(module, name, [POINTER, POINTER, POINTER, LONG, LONG], body)


def _count(
    code: Code, sums: Sums, source: Value, row: Value, j: int, table: Value, thresholds: int
) -> Value:
    """How many thresholds each sum reaches, one byte per output."""
    build = code.build
    if not sums.short:
        value, kind = sums.of(code, source, row, j), vector(WORD, sums.lanes)
        count = code.variable(vector(BYTE, sums.lanes), splat(BYTE, sums.lanes, 0))
        with code.loop(thresholds) as t:
            threshold = code.load(kind, table, code.scaled(t, 4 * sums.lanes))
            reached = build.icmp_signed(">=", value, threshold)
            count.set(build.sub(count.get(), build.sext(reached, vector(BYTE, sums.lanes))))
        return count.get()
    kind = vector(SHORT, sums.lanes // 2)
    halves = sums.halves(code, source, row, j)
    counts = [code.variable(kind, ir.Constant(kind, None)) for _ in halves]
    with code.loop(thresholds) as t:
        here = code.at(table, code.scaled(t, 2 * sums.lanes))
        for k, (half, count) in enumerate(zip(halves, counts, strict=True)):
            reached = build.icmp_signed(">=", half, code.load(kind, here, sums.lanes * k))
            count.set(build.sub(count.get(), build.sext(reached, kind)))
    odd = build.shl(counts[1].get(), splat(SHORT, sums.lanes // 2, 8))
    return build.bitcast(build.or_(counts[0].get(), odd), vector(BYTE, sums.lanes))


def _function(
    module: ir.Module, name: str, arguments: list[ir.Type], body: Callable[[Code], None]
) -> ir.Function:
    if name not in module.globals:
        code = Code(module, name, arguments)
        body(code)
        code.end()
    return module.globals[name]


def _everywhere(code: Code, value: Value, lanes: int) -> Value:
    """A vector of `lanes` times `value`."""
    kind = vector(value.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    first = code.build.insert_element(nothing, value, ir.Constant(WORD, 0))
    return code.build.shuffle_vector(first, nothing, ir.Constant(vector(WORD, lanes), [0] * lanes))


def _joined(code: Code, parts: list[Value]) -> Value:
    """Vectors of one length behind each other."""
    joined = parts[0]
    for following in parts[1:]:
        part = following
        count, more = joined.type.count, part.type.count
        if more < count:  # both operands of a shuffle have one type
            grow = ir.Constant(vector(WORD, count), [min(k, more - 1) for k in range(count)])
            part = code.build.shuffle_vector(part, ir.Constant(part.type, ir.Undefined), grow)
        order = ir.Constant(vector(WORD, count + more), list(range(count + more)))
        joined = code.build.shuffle_vector(joined, part, order)
    return joined


def _store_prefix(code: Code, value: Value, pointer: Value, count: int) -> None:
    """Write the first `count` elements of a vector, in pieces of powers of two."""
    bytes_each = value.type.element.width // 8
    nothing, at = ir.Constant(value.type, ir.Undefined), 0
    for piece in (1 << k for k in reversed(range(10))):
        while at + piece <= count:
            order = ir.Constant(vector(WORD, piece), list(range(at, at + piece)))
            part = code.build.shuffle_vector(value, nothing, order)
            code.store(part, pointer, at * bytes_each)
            at += piece
