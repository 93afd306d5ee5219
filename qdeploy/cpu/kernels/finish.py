# SPDX-License-Identifier: Apache-2.0
"""From the sums of a tile to what the next layer reads: levels packed into bytes, or integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, SHORT, WORD, Code, Value, splat, vector
from qdeploy.cpu.kernels.counting import Counting
from qdeploy.cpu.kernels.sums import Sums

_BLOCK = 64


@dataclass(frozen=True)
class Packing:
    """Levels in bytes: `fields` neighbouring channels of `bits` bits each, the first one lowest."""

    fields: int
    bits: int

    @property
    def block(self) -> int:
        """Channels from one beginning of a byte to the next: `fields`, or 64 if that is none."""
        return _BLOCK if _BLOCK % self.fields else self.fields

    def run(self, channels: int) -> int:
        """Channels of a pixel of `channels` that are packed without a gap."""
        return min(channels, _BLOCK) if _BLOCK % self.fields else channels

    def bytes(self, channels: int) -> int:
        """Bytes of the first `channels` channels."""
        blocks, rest = divmod(channels, self.block)
        return blocks * -(-self.block // self.fields) - (-rest // self.fields)

    @property
    def name(self) -> str:
        """For the names of functions."""
        return f"{self.fields}of{self.bits}"

    def pack(self, code: Code, levels: Value) -> Value:
        """Bytes with a level each to bytes with `fields`."""
        if self.fields == 1:
            return levels
        if _BLOCK % self.fields:
            return self._pack_blocks(code, levels)
        build, lanes = code.build, levels.type.count // self.fields
        wide = ir.IntType(8 * self.fields)
        value = build.bitcast(levels, vector(wide, lanes))
        packed = value
        for k in range(1, self.fields):
            packed = build.or_(packed, build.lshr(value, splat(wide, lanes, (8 - self.bits) * k)))
        return build.trunc(packed, vector(BYTE, lanes))

    def _pack_blocks(self, code: Code, levels: Value) -> Value:
        """Fields one after the other; levels leave room for shifts of two bytes at once."""
        build, count = code.build, levels.type.count
        blocks = [range(at, min(at + self.block, count)) for at in range(0, count, self.block)]
        places = [
            list(block[k : k + self.fields])
            for block in blocks
            for k in range(0, len(block), self.fields)
        ]
        size = -(-len(places) // 2) * 2
        packed: Value = ir.Constant(vector(SHORT, size // 2), None)
        for field in range(self.fields):
            order = [place[field] if field < len(place) else count for place in places]
            order += [count] * (size - len(order))
            zeros = ir.Constant(levels.type, None)
            part = build.shuffle_vector(levels, zeros, ir.Constant(vector(WORD, size), order))
            shorts = build.bitcast(part, packed.type)
            shifts = splat(SHORT, size // 2, self.bits * field)
            packed = build.or_(packed, build.shl(shorts, shifts))
        order = ir.Constant(vector(WORD, len(places)), list(range(len(places))))
        packed = build.bitcast(packed, vector(BYTE, size))
        return build.shuffle_vector(packed, packed, order)


def emit_levels(
    module: ir.Module, sums: Sums, counting: Counting, packing: Packing, size: int, *, mapped: bool
) -> ir.Function:
    """levels(sums, table, output, bytes between rows, rows): packed numbers of thresholds reached.

    The table is that of `counting`. If `mapped`, it ends with a byte for each output that is xor-ed
    to the number, and one that is added then. Only the first `size` bytes of a row are written.
    """

    def body(code: Code) -> None:
        build = code.build
        source, table, output, stride, rows = code.arguments
        each = counting.table_bytes(sums)
        maps = code.at(table, each * sums.vectors)
        with code.loop(rows) as row:
            parts = []
            for j in range(sums.vectors):
                levels = counting.emit(code, sums, source, row, j, code.at(table, each * j))
                if mapped:
                    kind = vector(BYTE, sums.lanes)
                    flip = code.load(kind, maps, sums.lanes * j)
                    shift = code.load(kind, maps, sums.outputs + sums.lanes * j)
                    levels = build.add(build.xor(levels, flip), shift)
                parts.append(levels)
            here = code.at(output, build.mul(row, stride))
            store_prefix(code, _packed(code, packing, parts), here, size)

    name = f"levels_{sums.name}_{counting.name}_{packing.name}_{size}{'_mapped' if mapped else ''}"
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
                    value = levels
                parts.append(value)
            here = code.at(output, build.mul(row, stride))
            if packing is None:
                store_prefix(code, joined(code, parts), here, outputs)
            else:
                store_prefix(code, _packed(code, packing, parts), here, packing.bytes(outputs))

    name = f"integers_{sums.name}_{packing.name if packing else 'word'}_{outputs}"
    return _function(module, name, [POINTER, POINTER, POINTER, LONG, LONG], body)


def _function(
    module: ir.Module, name: str, arguments: list[ir.Type], body: Callable[[Code], None]
) -> ir.Function:
    if name not in module.globals:
        code = Code(module, name, arguments)
        body(code)
        code.end()
    return module.globals[name]


def _packed(code: Code, packing: Packing, parts: list[Value]) -> Value:
    """Vectors of levels behind each other, packed."""
    if parts[0].type.count % packing.block:
        return packing.pack(code, joined(code, parts))
    return joined(code, [packing.pack(code, part) for part in parts])


def joined(code: Code, parts: list[Value]) -> Value:
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


def store_prefix(code: Code, value: Value, pointer: Value, count: int) -> None:
    """Write the first `count` elements of a vector, in pieces of powers of two."""
    bytes_each = value.type.element.width // 8
    nothing, at = ir.Constant(value.type, ir.Undefined), 0
    for piece in (1 << k for k in reversed(range(10))):
        while at + piece <= count:
            order = ir.Constant(vector(WORD, piece), list(range(at, at + piece)))
            part = code.build.shuffle_vector(value, nothing, order)
            code.store(part, pointer, at * bytes_each)
            at += piece
