# SPDX-License-Identifier: Apache-2.0
"""Rounded quotients of vectors of integers, by divisors known when code is generated."""

from __future__ import annotations

from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, WORD, Code, Value, splat, vector
from qdeploy.integer import Quotient


def rounded_quotient(code: Code, quotient: Quotient, x: Value, magnitude: int) -> Value:
    """The codes of `quotient`, which has one channel, of int32 lanes |x| <= magnitude."""
    return _Division(code, quotient, x.type.count, quotient.numerator_bound(magnitude)).of(x)


class _Division:
    """In int32 lanes while twice the numerator and the divisor fit, else in int64 lanes."""

    def __init__(self, code: Code, quotient: Quotient, lanes: int, bound: int) -> None:
        self.build, self.quotient, self.lanes, self.bound = code.build, quotient, lanes, bound
        self.element = WORD if 2 * bound < 1 << 31 else LONG
        self.kind = vector(self.element, lanes)
        self.divisor = int(quotient.divisor[0])

    def of(self, x: Value) -> Value:
        build, quotient = self.build, self.quotient
        value = x if self.element is WORD else build.sext(x, self.kind)
        value = build.mul(value, self._number(int(quotient.multiplier[0])))
        value = build.add(value, self._number(int(quotient.addend[0])))
        value = self._rounded(value)
        low, high = (self._number(int(limit[0])) for limit in (quotient.low, quotient.high))
        value = build.select(build.icmp_signed(">", value, low), value, low)
        value = build.select(build.icmp_signed("<", value, high), value, high)
        return value if self.element is WORD else build.trunc(value, vector(WORD, self.lanes))

    def _rounded(self, n: Value) -> Value:
        build, d, rule = self.build, self.divisor, self.quotient.rounding
        negative = build.icmp_signed("<", n, self._number(0))
        if rule in {"FLOOR", "CEIL", "DOWN", "UP"}:
            down, exact = self._floor(n, d)
            up = build.select(exact, down, build.add(down, self._number(1)))
            if rule in {"FLOOR", "CEIL"}:
                return down if rule == "FLOOR" else up
            return build.select(negative, *((up, down) if rule == "DOWN" else (down, up)))
        whole, tie = self._floor(build.add(build.shl(n, self._number(1)), self._number(d)), 2 * d)
        if d % 2:  # there are no halves
            return whole
        odd = build.icmp_signed("!=", build.and_(whole, self._number(1)), self._number(0))
        lower = {"HALF_EVEN": odd, "HALF_UP": negative, "HALF_DOWN": build.not_(negative)}[rule]
        return build.add(whole, build.sext(build.and_(tie, lower), self.kind))

    def _floor(self, n: Value, d: int) -> tuple[Value, Value]:
        """floor(n / d), and whether d divides n; unsigned division costs least."""
        build, lift = self.build, self.bound // d + 1
        positive = build.add(n, self._number(lift * d))
        quotient = build.udiv(positive, self._number(d))
        exact = build.icmp_signed("==", build.mul(quotient, self._number(d)), positive)
        return build.sub(quotient, self._number(lift)), exact

    def _number(self, number: int) -> ir.Constant:
        return splat(self.element, self.lanes, number)
