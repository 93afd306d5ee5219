# SPDX-License-Identifier: Apache-2.0
"""Between int64 codes of the caller and the smaller integers that kernels keep."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, Code, Value, Variable, splat, vector
from qdeploy.integer import ValueRange


@dataclass(frozen=True)
class StoredCodes:
    """Codes as code minus `low`.

    Attributes:
        limits: the codes.
        low: what is subtracted.
        element: integer type that is kept: unsigned if `low` is the lowest code.
        lanes: at once.
    """

    limits: ValueRange
    low: int
    element: ir.IntType
    lanes: int

    def take(
        self, code: Code, codes: Value, first: Value, stored: Value, size: int, outside: Variable
    ) -> None:
        """Store `size` codes from number `first` on; `outside` becomes 1 where one is no code."""
        build, span = code.build, self.limits.high - self.limits.low
        for lanes, start, end in self._parts(size):
            kind, low = vector(LONG, lanes), splat(LONG, lanes, self.limits.low)
            with code.loop(end, start, lanes) as index:
                value = code.load(kind, codes, code.scaled(build.add(first, index), 8))
                above = build.sub(value, low)
                wrong = build.icmp_unsigned(">", above, splat(LONG, lanes, span))
                some = build.icmp_unsigned(
                    "!=", build.bitcast(wrong, ir.IntType(lanes)), ir.Constant(ir.IntType(lanes), 0)
                )
                outside.set(build.or_(outside.get(), build.zext(some, LONG)))
                kept = build.sub(value, splat(LONG, lanes, self.low))
                place = code.scaled(index, self.element.width // 8)
                code.store(build.trunc(kept, vector(self.element, lanes)), stored, place)

    def give(self, code: Code, stored: Value, codes: Value, first: Value, size: int) -> None:
        """The inverse: `size` codes to number `first` and the following."""
        build, unsigned = code.build, self.low == self.limits.low
        for lanes, start, end in self._parts(size):
            with code.loop(end, start, lanes) as index:
                place = code.scaled(index, self.element.width // 8)
                kept = code.load(vector(self.element, lanes), stored, place)
                wide = (build.zext if unsigned else build.sext)(kept, vector(LONG, lanes))
                value = build.add(wide, splat(LONG, lanes, self.low))
                code.store(value, codes, code.scaled(build.add(first, index), 8))

    def _parts(self, size: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Lanes, start and end of whole vectors, and of what is left over."""
        whole = size // self.lanes * self.lanes
        return (self.lanes, 0, whole), (1, whole, size)
