# SPDX-License-Identifier: Apache-2.0
"""Counting how many of many thresholds an integer reaches, at any distances between them.

The range between the first and the last threshold is divided into bins of equal width, a power of
two. A table holds how many thresholds the first integer of each bin reaches; those within the bin
are compared one after the other, and bins are so narrow that this is mostly one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, POINTER, SHORT, WORD, Code, Value
from qdeploy.cpu.program.constants import Constants
from qdeploy.integer import Integers, StepFunction, ValueRange

_MOST_BINS = 1 << 12


@dataclass(frozen=True)
class Count:
    """code = low + number of thresholds reached.

    Attributes:
        first: where the first bin begins; it reaches no threshold.
        last: the last threshold; values are kept within first..last.
        shift: a bin has 2^shift integers.
        within: most thresholds within a bin, beyond its first integer.
        bins: offset of uint16 thresholds reached at the start of each bin.
        thresholds: offset of int32 thresholds, and one that is never reached.
        low: the code below all thresholds.
    """

    first: int
    last: int
    shift: int
    within: int
    bins: int
    thresholds: int
    low: int

    def emit(self, module: ir.Module) -> ir.Function:
        """count(constants, values, codes, number): int32 to int32."""
        name = "count_" + "_".join(str(part) for part in vars(self).values()).replace("-", "m")
        if name not in module.globals:
            code = Code(module, name, [POINTER, POINTER, POINTER, LONG])
            constants, values, codes, number = code.arguments
            with code.loop(number) as index:
                place = code.scaled(index, 4)
                count = self._count(code, constants, code.load(WORD, values, place, align=4))
                code.store(count, codes, place, align=4)
            code.end()
        return module.globals[name]

    def _count(self, code: Code, constants: Value, value: Value) -> Value:
        build = code.build
        first, last, shift, low = (
            ir.Constant(WORD, number) for number in (self.first, self.last, self.shift, self.low)
        )
        value = build.select(build.icmp_signed(">", value, first), value, first)
        value = build.select(build.icmp_signed("<", value, last), value, last)
        place = build.zext(build.lshr(build.sub(value, first), shift), LONG)
        start = code.load(SHORT, constants, code.scaled(place, 2, self.bins), align=2)
        count = build.zext(start, LONG)
        for _ in range(self.within):
            at = code.scaled(count, 4, self.thresholds)
            reached = build.icmp_signed(">=", value, code.load(WORD, constants, at, align=4))
            count = build.add(count, build.zext(reached, LONG))
        return build.add(build.trunc(count, WORD), low)


def plan_count(steps: StepFunction, x: ValueRange, constants: Constants) -> Count:
    """How `steps` are counted for integers in `x`, which leaves room above in int32."""
    thresholds, never = steps.thresholds, x.high + 1
    low = steps.low + int((thresholds <= x.low).sum())
    reachable = thresholds[(thresholds > x.low) & (thresholds <= x.high)]
    if not len(reachable):
        reachable = np.array([never])
    first, last = int(reachable[0]) - 1, int(reachable[-1])
    shift = max(0, (last - first).bit_length() - _MOST_BINS.bit_length() + 1)
    within = _within(reachable, first, shift)
    within = max(1, _within(reachable, first, shift))
    while shift < 31 and _within(reachable, first, shift + 1) <= within:
        shift += 1
    starts = np.arange(first, last + 1, 1 << shift)
    bins = np.searchsorted(reachable, starts, side="right")
    return Count(
        first=first,
        last=last,
        shift=shift,
        within=_within(reachable, first, shift),
        bins=constants.add(bins.astype(np.uint16)),
        thresholds=constants.add(np.append(reachable, never).astype(np.int32)),
        low=low,
    )


def _within(thresholds: Integers, first: int, shift: int) -> int:
    """Most thresholds in a bin that its first integer does not reach."""
    places = thresholds - first
    inside = places[places % (1 << shift) != 0] >> shift
    return int(np.unique(inside, return_counts=True)[1].max(initial=0))
