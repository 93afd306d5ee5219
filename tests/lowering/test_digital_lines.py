# SPDX-License-Identifier: Apache-2.0
"""Quotients for quantizers of many codes against rounding in rationals, over whole ranges."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qdeploy.integer import Requantize, ValueRange
from qdeploy.integer.reference import evaluate
from qdeploy.lowering.digital_lines import digital_line
from qdeploy.lowering.levels import WideQuantizer
from qdeploy.lowering.monotone import Affine, Clip
from qdeploy.lowering.requantization import quotient
from qdeploy.lowering.values import Activation

HALF = Fraction(1, 2)
SIGN = {True: -1, False: 1}
ROUND = {
    "HALF_EVEN": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "DOWN": math.trunc,
    "UP": lambda v: SIGN[v < 0] * math.ceil(abs(v)),
    "HALF_UP": lambda v: SIGN[v < 0] * math.floor(abs(v) + HALF),
    "HALF_DOWN": lambda v: SIGN[v < 0] * math.ceil(abs(v) - HALF),
}
# Beyond 64 bits, so that the quotient has to be another one than the given.
TINY = [Fraction(0), Fraction(1, 3**50), Fraction(-1, 3**50), Fraction(1, 2**80)]


def functions_of(relu: bool, clip: bool) -> list[Clip | Affine]:
    functions: list[Clip | Affine] = [Clip(Fraction(0), None)] if relu else []
    if clip:
        functions += [Affine(HALF, Fraction(1, 3)), Clip(Fraction(-1), Fraction(5, 2))]
    return functions


def applied(functions: list[Clip | Affine], value: Fraction) -> Fraction:
    for function in functions:
        if isinstance(function, Affine):
            value = function.factor * value + function.shift
        else:
            value = value if function.low is None else max(value, function.low)
            value = value if function.high is None else min(value, function.high)
    return value


@settings(max_examples=600, deadline=None)
@given(
    codes=st.sampled_from([(-8, 7), (-7, 7), (0, 15), (0, 14), (-128, 127)]),
    scale=st.fractions(Fraction(1, 9), 3, max_denominator=9),
    zero_point=st.sampled_from([Fraction(0), Fraction(0), Fraction(1), Fraction(-3), HALF]),
    rounding=st.sampled_from(sorted(ROUND)),
    factor=st.fractions(-3, 3, max_denominator=12),
    offset=st.fractions(-3, 3, max_denominator=12),
    tiny=st.tuples(st.sampled_from(TINY), st.sampled_from(TINY)),
    relu=st.booleans(),
    clip=st.booleans(),
)
@example((-8, 7), Fraction(1), Fraction(0), "HALF_EVEN", HALF, HALF, (TINY[0],) * 2, False, False)
def test_quotients_decide_like_the_quantizer(
    codes, scale, zero_point, rounding, factor, offset, tiny, relu, clip
):
    factor, offset = factor + tiny[0], offset + tiny[1]
    quantizer = WideQuantizer(
        ValueRange(*codes), scale, zero_point, rounding, scale, -zero_point * scale
    )
    functions = functions_of(relu, clip)
    x = ValueRange(-37, 43)
    value = Activation("x", (1, 81), (factor,), (offset,), functions=tuple((f,) for f in functions))
    found = quotient(value, [quantizer], x)
    if found is None:  # codes on both sides of 0 that begin at unequal distances, or many ties
        assert any(tiny)
        assert rounding in ("UP", "DOWN", "HALF_EVEN", "HALF_UP", "HALF_DOWN")
        assume(False)
    integers = np.arange(x.low, x.high + 1)
    node = Requantize(name="q", input="x", output="q", quotient=found)
    for integer, code in zip(
        integers, evaluate(node, integers.reshape(1, 1, -1))[0, 0], strict=True
    ):
        real = applied(functions, factor * int(integer) + offset)
        expected = min(max(ROUND[rounding](real / scale + zero_point), codes[0]), codes[1])
        assert code == expected
        assert quantizer.scale * int(code) + quantizer.offset == scale * (expected - zero_point)


@pytest.mark.parametrize("rounding", sorted(ROUND))
def test_codes_of_two_signs_with_wide_scales(rounding):
    """Only rounding towards or away from zero needs thresholds; ties at single points do not."""
    quantizer = WideQuantizer(
        ValueRange(-512, 511), Fraction(1), Fraction(0), rounding, Fraction(1), Fraction(0)
    )
    for offset in (Fraction(0), HALF, Fraction(1, 3**60)):
        value = Activation("x", (1,), (Fraction(1, 7) + Fraction(1, 3**60),), (offset,))
        found = quotient(value, [quantizer], ValueRange(-5000, 5000))
        assert (found is None) == (rounding in ("UP", "DOWN"))
        if found is not None:
            x = np.arange(-5000, 5001)
            exact = [ROUND[rounding](value.scale[0] * int(i) + offset) for i in x]
            assert np.array_equal(found.of(x[np.newaxis])[0], np.clip(exact, -512, 511))


@settings(max_examples=400, deadline=None)
@given(
    slope=st.fractions(-4, 4) | st.fractions(-4, 4, max_denominator=9),
    tilt=st.integers(1, 10**9),
    intercept=st.fractions(-50, 50),
    low=st.integers(-40, 40),
    count=st.integers(1, 120),
)
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_a_digital_line_has_the_same_floors(sign, slope, tilt, intercept, low, count):
    slope += Fraction(sign, tilt)
    p, q, d = digital_line(slope, intercept, low, low + count - 1)
    assert 0 < d <= 2 * count
    for x in range(low, low + count):
        assert (p * x + q) // d == math.floor(slope * x + intercept)


def test_a_digital_line_over_a_range_beyond_enumeration():
    """At the integers nearest to the line, which decide: those of its convergents."""
    slope, intercept = Fraction(2**61 + 1, 3**40), Fraction(5, 7)
    low, high = -(2**35), 2**36
    p, q, d = digital_line(slope, intercept, low, high)
    assert d <= 2 * (high - low + 1)
    rng = np.random.default_rng(0)
    for x in [low, high, *range(-1000, 1000), *rng.integers(low, high, 20000).tolist()]:
        assert (p * x + q) // d == math.floor(slope * x + intercept)
