# SPDX-License-Identifier: Apache-2.0
"""How many thresholds each sum reaches: by comparing with all of them, or by a straight line."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, SHORT, WORD, Code, Value, splat, vector
from qdeploy.cpu.kernels.sums import Sums

FRACTION_BITS = 54  # of the lines' values, which stay below 2^63


@dataclass(frozen=True)
class Comparisons:
    """With all thresholds, one after the other.

    Table: for each vector of outputs the thresholds in the type and order of the sums (of short
    ones the even outputs, then the odd ones).

    Attributes:
        thresholds: of each output.
    """

    thresholds: int

    @property
    def name(self) -> str:
        """For the names of functions."""
        return f"{self.thresholds}"

    def table_bytes(self, sums: Sums) -> int:
        """Bytes of the table of a vector of outputs."""
        return (2 if sums.short else 4) * self.thresholds * sums.lanes

    def emit(
        self, code: Code, sums: Sums, source: Value, row: Value, j: int, table: Value
    ) -> Value:
        """The number for each output of vector `j` of a row, bytes."""
        if sums.short:
            return self._of_halves(code, sums, source, row, j, table)
        build = code.build
        value, kind = sums.of(code, source, row, j), vector(WORD, sums.lanes)
        count = code.variable(vector(BYTE, sums.lanes), splat(BYTE, sums.lanes, 0))
        with code.loop(self.thresholds) as t:
            threshold = code.load(kind, table, code.scaled(t, 4 * sums.lanes))
            reached = build.icmp_signed(">=", value, threshold)
            count.set(build.sub(count.get(), build.sext(reached, vector(BYTE, sums.lanes))))
        return count.get()

    def _of_halves(
        self, code: Code, sums: Sums, source: Value, row: Value, j: int, table: Value
    ) -> Value:
        build, kind = code.build, vector(SHORT, sums.lanes // 2)
        halves = sums.halves(code, source, row, j)
        counts = [code.variable(kind, ir.Constant(kind, None)) for _ in halves]
        with code.loop(self.thresholds) as t:
            here = code.at(table, code.scaled(t, 2 * sums.lanes))
            for k, (half, count) in enumerate(zip(halves, counts, strict=True)):
                reached = build.icmp_signed(">=", half, code.load(kind, here, sums.lanes * k))
                count.set(build.sub(count.get(), build.sext(reached, kind)))
        odd = build.shl(counts[1].get(), splat(SHORT, sums.lanes // 2, 8))
        return build.bitcast(build.or_(counts[0].get(), odd), vector(BYTE, sums.lanes))


@dataclass(frozen=True)
class Line:
    """By (slope · (sum - first) + shift) / 2^FRACTION_BITS, with sums kept in first..last.

    Table: for each vector of outputs slopes and shifts, int64, firsts and lasts, int32; if the line
    may be one too low, then the thresholds as those of `Comparisons`, int32, and one that is never
    reached.

    Attributes:
        corrected: by how many thresholds the line may be one too low and is compared with; 0: the
            line is exact.
    """

    corrected: int

    @property
    def name(self) -> str:
        """For the names of functions."""
        return f"line{self.corrected}"

    def table_bytes(self, sums: Sums) -> int:
        """Bytes of the table of a vector of outputs."""
        return (24 + (4 * (self.corrected + 1) if self.corrected else 0)) * sums.lanes

    def emit(
        self, code: Code, sums: Sums, source: Value, row: Value, j: int, table: Value
    ) -> Value:
        """The number for each output of vector `j` of a row, bytes."""
        build, lanes = code.build, sums.lanes
        words, longs, numbers = (vector(kind, lanes) for kind in (WORD, LONG, BYTE))
        value = sums.of(code, source, row, j)
        if sums.short:
            value = build.sext(value, words)
        slope, shift = (code.load(longs, table, at * lanes) for at in (0, 8))
        first, last = (code.load(words, table, at * lanes) for at in (16, 20))
        kept = build.select(build.icmp_signed(">", value, first), value, first)
        kept = build.select(build.icmp_signed("<", kept, last), kept, last)
        place = build.zext(build.sub(kept, first), longs)
        exact = build.add(build.mul(place, slope), shift)
        count = build.trunc(build.lshr(exact, splat(LONG, lanes, FRACTION_BITS)), numbers)
        if not self.corrected:
            return count
        following = self._following(code, count, code.at(table, 24 * lanes))
        reached = build.icmp_signed(">=", value, following)
        return build.sub(count, build.sext(reached, numbers))

    @staticmethod
    def _following(code: Code, count: Value, thresholds: Value) -> Value:
        """Of each output the threshold behind the first `count`, int32."""
        lanes = count.type.count
        places, found = (code.memory(size * lanes, align=64) for size in (1, 4))
        code.store(count, places)
        with code.loop(lanes) as lane:
            place = code.build.zext(code.load(BYTE, places, lane), LONG)
            index = code.scaled(code.scaled(place, lanes, lane), 4)
            code.store(code.load(WORD, thresholds, index), found, code.scaled(lane, 4))
        return code.load(vector(WORD, lanes), found)


Counting = Comparisons | Line
