# SPDX-License-Identifier: Apache-2.0
"""Integer thresholds against rounding written out in rationals, over whole ranges with ties."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.custom_op.general.quant import quant as qonnx_quant

from qdeploy.integer import Threshold, ValueRange
from qdeploy.integer.reference import evaluate
from qdeploy.lowering.levels import bipolar, uniform
from qdeploy.lowering.monotone import Clip, behind
from qdeploy.lowering.thresholds import input_quantizer, integer_thresholds

SIGN = {True: -1, False: 1}
ROUND = {
    "ROUND": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "DOWN": math.trunc,
    "UP": lambda v: SIGN[v < 0] * math.ceil(abs(v)),
    "HALF_UP": lambda v: SIGN[v < 0] * math.floor(abs(v) + Fraction(1, 2)),
    "HALF_DOWN": lambda v: SIGN[v < 0] * math.ceil(abs(v) - Fraction(1, 2)),
}
small_fractions = st.fractions(-3, 3, max_denominator=12)


def limits(bits, signed, narrow):
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


@settings(max_examples=300, deadline=None)
@given(
    bits=st.integers(1, 4),
    signed=st.booleans(),
    narrow=st.booleans(),
    scale=st.fractions(Fraction(1, 9), 3, max_denominator=9),
    zero_point=st.integers(-2, 2),
    rounding=st.sampled_from(sorted(ROUND)),
    factor=small_fractions,
    offset=small_fractions,
    relu=st.booleans(),
)
def test_thresholds_decide_like_the_quantizer(
    bits, signed, narrow, scale, zero_point, rounding, factor, offset, relu
):
    quantizer = uniform(bits, signed, narrow, scale, zero_point, rounding)
    if relu:
        quantizer = behind(quantizer, [Clip(Fraction(0), None)])
    x = ValueRange(-17, 23)
    thresholds, base, step = integer_thresholds([quantizer], (factor,), (offset,), x)
    node = Threshold(name="t", input="x", output="t", thresholds=thresholds, base=base, step=step)
    values = np.arange(x.low, x.high + 1)
    low, high = limits(bits, signed, narrow)
    for integer, code in zip(values, evaluate(node, values.reshape(1, 1, -1)).ravel(), strict=True):
        real = factor * int(integer) + offset
        if relu:
            real = max(real, Fraction(0))
        expected = min(max(ROUND[rounding](real / scale + zero_point), low), high) - zero_point
        if signed and bits == 1:  # the public executor takes one signed bit as -1, +1
            expected = (1 if real / scale + zero_point >= 0 else -1) - zero_point
        assert quantizer.scale * int(code) + quantizer.offset == scale * expected


@pytest.mark.parametrize("rounding", sorted(ROUND))
@pytest.mark.parametrize("signed", [True, False])
def test_rounding_modes_are_those_of_the_qonnx_executor(rounding, signed):
    # Quarters and power-of-two scales are exact in float32, so the executor cannot be off.
    real = np.arange(-40, 41, dtype=np.float32) / 4
    expected = qonnx_quant(
        real, np.float32(0.5), np.float32(1), np.float32(4), signed, False, rounding
    )
    quantizer = uniform(4, signed, False, Fraction(1, 2), 1, rounding)
    thresholds, base, step = integer_thresholds(
        [quantizer], (Fraction(1, 4),), (Fraction(0),), ValueRange(-40, 40)
    )
    node = Threshold(name="t", input="x", output="t", thresholds=thresholds, base=base, step=step)
    codes = evaluate(node, np.arange(-40, 41).reshape(1, 1, -1)).ravel()
    assert np.array_equal(codes * 0.5, expected)


def test_bipolar_takes_zero_for_plus_one_and_turns_with_negative_scales():
    x = ValueRange(-3, 3)
    values = np.arange(-3, 4).reshape(1, 1, -1).repeat(3, axis=1)
    thresholds, base, step = integer_thresholds(
        [bipolar(Fraction(1, 7))],
        (Fraction(2, 3), Fraction(-2, 3), Fraction(0)),
        (Fraction(0), Fraction(0), Fraction(-1)),
        x,
    )
    node = Threshold(name="t", input="x", output="t", thresholds=thresholds, base=base, step=step)
    assert np.array_equal(
        evaluate(node, values)[0],
        [[-1] * 3 + [1] * 4, [1] * 4 + [-1] * 3, [-1] * 7],
    )


@settings(max_examples=200, deadline=None)
@given(
    factor=st.floats(2**-10, 8, width=32),
    offset=st.floats(-4, 4, width=32),
    scale=st.floats(2**-6, 2, width=32),
    bits=st.integers(2, 6),
)
def test_input_boundaries_are_the_smallest_floats_that_reach_a_code(factor, offset, scale, bits):
    exact = Fraction(factor), Fraction(offset), Fraction(scale)
    quantizer = input_quantizer(uniform(bits, True, False, exact[2], 0, "ROUND"), *exact[:2])
    low, high = limits(bits, True, False)
    boundaries = quantizer.boundaries
    for x in np.concatenate([boundaries, np.nextafter(boundaries, np.float32(-np.inf))]):
        code = round((exact[0] * Fraction(float(x)) + exact[1]) / exact[2])
        assert quantizer.quantize(x) == min(max(code, low), high)
