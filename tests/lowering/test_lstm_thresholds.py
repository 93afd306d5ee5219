# SPDX-License-Identifier: Apache-2.0
"""Thresholds of sigmoid and tanh against exponentials of many digits, for every code in a range."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.integer import StepFunction, ValueRange
from qdeploy.lowering.lstm import UniformQuantizer, sigmoid_steps, tanh_steps

DIGITS = 60
Function = Callable[[Decimal], Decimal]


def sigmoid(v: Decimal) -> Decimal:
    return 1 / (1 + (-v).exp())


def tanh(v: Decimal) -> Decimal:
    return 2 * sigmoid(2 * v) - 1


def expected(function: Function, quantizer: UniformQuantizer, unit: Fraction, x: int) -> int:
    """round(function(unit · x) / scale), clipped; halves, which only x = 0 gives, to even."""
    with localcontext() as context:
        context.prec = DIGITS
        v = Decimal((unit * x).numerator) / Decimal((unit * x).denominator)
        exact = function(v) * quantizer.scale.denominator / quantizer.scale.numerator
        code = int(exact.to_integral_value())
        to_half = abs(abs(exact - code) - Decimal("0.5"))
        assert x == 0 or to_half > Decimal(10) ** (15 - DIGITS)
    return min(max(code, quantizer.range.low), quantizer.range.high)


QUANTIZERS = [
    UniformQuantizer(ValueRange(0, 255), Fraction(1, 255)),
    UniformQuantizer(ValueRange(0, 255), Fraction(1, 256)),
    UniformQuantizer(ValueRange(-128, 127), Fraction(1, 128)),
    UniformQuantizer(ValueRange(-127, 127), Fraction(2, 255)),
    UniformQuantizer(ValueRange(0, 3), Fraction(1, 3)),
    UniformQuantizer(ValueRange(0, 1), Fraction(1)),
    UniformQuantizer(ValueRange(-3, 4), Fraction(1, 2)),
    UniformQuantizer(ValueRange(2, 5), Fraction(float(np.float32(0.17)))),
]


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("unit", [Fraction(1, 40), Fraction(1), Fraction(float(np.float32(0.013)))])
@pytest.mark.parametrize(
    ("function", "steps"), [(sigmoid, sigmoid_steps), (tanh, tanh_steps)], ids=["sigmoid", "tanh"]
)
def test_every_code(
    function: Function,
    steps: Callable[[UniformQuantizer, Fraction], StepFunction],
    quantizer: UniformQuantizer,
    unit: Fraction,
) -> None:
    most = min(700, int(45 / unit))  # beyond, 60 digits do not tell tanh from 1
    x = np.arange(-most, most + 1)
    want = [expected(function, quantizer, unit, int(value)) for value in x]
    assert np.array_equal(steps(quantizer, unit).of(x), want)


@settings(max_examples=60, deadline=None)
@given(
    st.fractions(Fraction(1, 10**12), Fraction(3)),
    st.fractions(Fraction(1, 300), Fraction(1)),
    st.integers(-128, 0),
    st.integers(1, 128),
)
def test_both_sides_of_every_threshold(
    unit: Fraction, scale: Fraction, low: int, high: int
) -> None:
    quantizer = UniformQuantizer(ValueRange(low, high), scale)
    for function, steps in ((sigmoid, sigmoid_steps), (tanh, tanh_steps)):
        found = steps(quantizer, unit)
        assert (np.diff(found.thresholds) >= 0).all()
        x = np.concatenate([found.thresholds, found.thresholds - 1, [0]])
        want = [expected(function, quantizer, unit, int(value)) for value in x]
        assert np.array_equal(found.of(x), want)
