# SPDX-License-Identifier: Apache-2.0
"""The rounded values of a straight line at integers, by a line of small integers.

Theorem: for any rational slope and intercept there are integers p, q, d with 0 < d <= 2 · count and

    floor(slope · x + intercept) = floor((p · x + q) / d)        for x = 0 ... count - 1.

Proof, for a slope in lowest terms with a larger denominator: let p/d be its last convergent with
d < count, below the slope (else turn x around). Then d · slope · x exceeds p · x by less than 1, by
more and more, so that floor(slope · x + intercept) = floor((p · x + g + [x >= start]) / d), with
g = floor(intercept · d). The bracket matters only where d divides p · x + g + 1. If no such x lies
before `start`, or none behind, it can be left out. Otherwise let `after` be the first one behind:
the line through the point there whose slope is a semiconvergent p'/d', on the other side of the
slope and with d' >= max(after, count - after), lies above p · x + g by a part in [0, 1) before
`after` and in [1, 2) from it on, all divided by d. p' · d - p · d' = 1 makes its numbers integers.
"""

from __future__ import annotations

import math
from fractions import Fraction

Line = tuple[int, int, int]


def digital_line(slope: Fraction, intercept: Fraction, low: int, high: int) -> Line:
    """p, q, d > 0 with floor((p · x + q) / d) = floor(slope · x + intercept) for low <= x <= high.

    Each step of p · x + q is a multiple of 1 / d with d at most 2 · (high - low + 1).
    """
    p, q, d = _from_zero(slope, intercept + slope * low, high - low + 1)
    return p, q - p * low, d


def _from_zero(slope: Fraction, intercept: Fraction, count: int) -> Line:
    (before_p, before_d), (p, d) = _convergents(slope, count)
    if slope == Fraction(p, d):
        return p, math.floor(intercept * d), d
    if slope < Fraction(p, d):
        last = count - 1
        p, q, d = _from_zero(-slope, intercept + slope * last, count)
        return -p, q + p * last, d
    g = math.floor(intercept * d)
    start = math.ceil((g + 1 - intercept * d) / (slope * d - p))
    residue = -(g + 1) * pow(p, -1, d) % d
    after = start + (residue - start) % d
    if after >= count:
        return p, g, d
    if after < d:
        return p, g + 1, d
    height = (p * after + g + 1) // d
    steps = -((before_d - max(after, count - after)) // d)
    p, d = before_p + steps * p, before_d + steps * d
    return p, height * d - p * after, d


def _convergents(slope: Fraction, count: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The last convergent with a denominator below `count` (or of 1), and the one before it."""
    before, last = (1, 0), (math.floor(slope), 1)
    rest = slope - math.floor(slope)
    while rest:
        rest = 1 / rest
        whole = math.floor(rest)
        following = before[0] + whole * last[0], before[1] + whole * last[1]
        if following[1] >= count:
            break
        before, last, rest = last, following, rest - whole
    return before, last
