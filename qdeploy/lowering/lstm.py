# SPDX-License-Identifier: Apache-2.0
"""From the scales of a quantized LSTM layer to integers; sigmoid and tanh become thresholds.

Theorem: for a rational b, sigmoid(v) >= b is v >= ln(b / (1 - b)) where 0 < b < 1, and tanh(v) >= b
is v >= ln((1 + b) / (1 - b)) / 2 where -1 < b < 1; below, all v reach b, above, none. For integers
x with v = unit · x the threshold is the ceiling of the right side by `unit`. The logarithm of a
rational other than 1 is irrational (Lindemann), so bounds of it, made ever narrower, end between
two integers; the logarithm of 1 is the boundary 0, which belongs to the even code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

from qdeploy.integer import Integers, LstmLayer, Quotient, StepFunction, ValueRange, Weights

_FIRST_DIGITS = 40


@dataclass(frozen=True)
class UniformQuantizer:
    """A quantizer without zero point that rounds halves to even: code c means scale · c.

    Attributes:
        range: the codes.
        scale: positive.
    """

    range: ValueRange
    scale: Fraction


@dataclass(frozen=True, kw_only=True)
class LstmQuantizers:
    """The quantizers of a layer, as `brevitas.nn.QuantLSTM` has them; those of sums may be none."""

    input: UniformQuantizer
    hidden: UniformQuantizer
    cell_state: UniformQuantizer
    input_acc: UniformQuantizer | None = None
    forget_acc: UniformQuantizer | None = None
    cell_acc: UniformQuantizer | None = None
    output_acc: UniformQuantizer | None = None
    input_sigmoid: UniformQuantizer
    forget_sigmoid: UniformQuantizer
    cell_tanh: UniformQuantizer
    output_sigmoid: UniformQuantizer
    hidden_state_tanh: UniformQuantizer


def lstm_layer(
    name: str,
    input_weights: Weights,
    hidden_weights: Weights,
    bias: Integers,
    units: tuple[Fraction, Fraction, Fraction, Fraction],
    quantizers: LstmQuantizers,
) -> LstmLayer:
    """The integer layer.

    Args:
        name: as in the PyTorch model.
        input_weights: W_ih, [4H, I], rows of the gates i, f, g, o.
        hidden_weights: W_hh, [4H, H].
        bias: int64 [4H], in units of the sums.
        units: what 1 in the sums of each gate means.
        quantizers: of inputs and of everything inside.
    """
    i, f, g, o = (
        quantizers.input_sigmoid,
        quantizers.forget_sigmoid,
        quantizers.cell_tanh,
        quantizers.output_sigmoid,
    )
    sums = quantizers.input_acc, quantizers.forget_acc, quantizers.cell_acc, quantizers.output_acc
    state, tanh, hidden = quantizers.cell_state, quantizers.hidden_state_tanh, quantizers.hidden
    return LstmLayer(
        name=name,
        input=quantizers.input.range,
        input_weights=input_weights,
        hidden_weights=hidden_weights,
        bias=bias,
        gates=(
            _gate_steps(sigmoid_steps, i, units[0], sums[0]),
            _gate_steps(sigmoid_steps, f, units[1], sums[1]),
            _gate_steps(tanh_steps, g, units[2], sums[2]),
            _gate_steps(sigmoid_steps, o, units[3], sums[3]),
        ),
        forget=_product(f, state, state),
        update=_product(i, g, state),
        cell=tanh_steps(tanh, state.scale),
        output=_product(o, tanh, hidden),
    )


def sigmoid_steps(quantizer: UniformQuantizer, unit: Fraction) -> StepFunction:
    """From integers x to the codes of sigmoid(unit · x)."""
    return _steps(quantizer, unit, lambda b: Fraction(0) if b <= 0 else _odds(b, 1 - b), 1)


def tanh_steps(quantizer: UniformQuantizer, unit: Fraction) -> StepFunction:
    """From integers x to the codes of tanh(unit · x)."""
    return _steps(quantizer, unit, lambda b: Fraction(0) if b <= -1 else _odds(1 + b, 1 - b), 2)


def _gate_steps(
    steps: Callable[[UniformQuantizer, Fraction], StepFunction],
    quantizer: UniformQuantizer,
    unit: Fraction,
    sums: UniformQuantizer | None,
) -> StepFunction:
    """`steps` of unit · x, or of what the quantizer `sums` makes of that."""
    if sums is None:
        return steps(quantizer, unit)
    inner = steps(quantizer, sums.scale)
    low, thresholds = inner.low, []
    for code in inner.thresholds.tolist():
        if code <= sums.range.low:
            low += 1
        elif code <= sums.range.high:
            boundary = (code - Fraction(1, 2)) * sums.scale / unit
            odd = code % 2 and boundary.denominator == 1  # a half belongs to the even code
            thresholds.append(math.ceil(boundary) + (1 if odd else 0))
    return StepFunction(np.array(thresholds, np.int64), low)


def _odds(part: Fraction, rest: Fraction) -> Fraction | None:
    return part / rest if rest > 0 else None


def _steps(
    quantizer: UniformQuantizer,
    unit: Fraction,
    odds: Callable[[Fraction], Fraction | None],
    divisor: int,
) -> StepFunction:
    """Thresholds ceil(ln(odds(b)) / (divisor · unit)) for the boundaries b of all codes.

    Codes that all values pass (odds 0) or none reaches (None) are left out.
    """
    low, thresholds = quantizer.range.low, []
    for code in range(quantizer.range.low + 1, quantizer.range.high + 1):
        ratio = odds((code - Fraction(1, 2)) * quantizer.scale)
        if ratio is None:
            break
        if ratio == 0:
            low = code
        elif ratio == 1:
            thresholds.append(code % 2)  # the boundary 0 itself belongs to an even code
        else:
            thresholds.append(_ceiling_of_logarithm(ratio, divisor * unit))
    return StepFunction(np.array(thresholds, np.int64), low)


def _ceiling_of_logarithm(ratio: Fraction, unit: Fraction) -> int:
    """The smallest integer not below ln(ratio) / unit, for a positive ratio other than 1."""
    digits = _FIRST_DIGITS
    while True:
        low, high = (math.ceil(bound / unit) for bound in _logarithm(ratio, digits))
        if low == high:
            return low
        digits *= 2


def _logarithm(ratio: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """Bounds of ln(ratio); decimal arithmetic rounds logarithms correctly."""
    context = Context(prec=digits)
    above, below = (
        Fraction(context.ln(Decimal(number))) for number in (ratio.numerator, ratio.denominator)
    )
    error = (above + below) / 10 ** (digits - 1)
    return above - below - error, above - below + error


def _product(a: UniformQuantizer, b: UniformQuantizer, result: UniformQuantizer) -> Quotient:
    """From products of codes `a` and `b` to codes `result`."""
    ratio = a.scale * b.scale / result.scale
    return Quotient(
        multiplier=np.array([ratio.numerator]),
        addend=np.array([0]),
        divisor=np.array([ratio.denominator]),
        low=np.array([result.range.low]),
        high=np.array([result.range.high]),
        rounding="HALF_EVEN",
    )
