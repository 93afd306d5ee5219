# SPDX-License-Identifier: Apache-2.0
"""Brevitas' QuantLSTMCell, from the order of its inputs and the code of brevitas.nn.QuantLSTM."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from qdeploy.rational.arrays import Array, Rationals, elementwise
from qdeploy.rational.products import product
from qdeploy.rational.quantizers import quant
from qdeploy.rational.registry import Attributes, operator

_DIGITS = 80
_CLOSE = Decimal(10) ** -40
_QUANTIZERS = (
    "output",
    "cell_state",
    "input_acc",
    "forget_acc",
    "cell_acc",
    "output_acc",
    "input_sigmoid",
    "forget_sigmoid",
    "cell_tanh",
    "output_sigmoid",
    "hidden_state_tanh",
)


@operator("QuantLSTMCell")
def quant_lstm_cell(
    given: Attributes, x: Rationals, h: Rationals, c: Rationals, *others: Array
) -> tuple[Rationals, Rationals, Rationals]:
    """Sequences [N, T, I] or [T, N, I], forward or backward, gates not coupled."""
    weights, biases, parameters = others[:8], others[8:12], others[12:]
    quantized = {
        name: partial(_quantized, _attributes(given, name), parameters[3 * k : 3 * k + 3])
        for k, name in enumerate(_QUANTIZERS)
    }
    axis = 1 if given.get("batch_first", 0) else 0
    steps = np.moveaxis(x, axis, 0)
    if given.get("reverse_input", 0):
        steps = steps[::-1]
    outputs = []
    for step in steps:
        sums = [
            product(step, weights[gate].T) + product(h, weights[4 + gate].T) + biases[gate]
            for gate in range(4)
        ]
        named = zip(("input", "forget", "cell", "output"), sums, strict=True)
        i, f, g, o = (
            quantized[f"{name}_{'tanh' if name == 'cell' else 'sigmoid'}"](
                quantized[f"{name}_acc"](total)
            )
            for name, total in named
        )
        c = quantized["cell_state"](quantized["cell_state"](f * c) + quantized["cell_state"](i * g))
        h = quantized["output"](o * quantized["hidden_state_tanh"](c))
        outputs.append(h)
    if given.get("reverse_input", 0):
        outputs.reverse()
    return np.stack(outputs, axis), h, c


def _attributes(given: Attributes, name: str) -> Attributes:
    """Those of one quantizer; Brevitas 0.13 spells one of them differently."""
    return {
        "function": name.rpartition("_")[2],
        "signed": given[f"{name}_signed"],
        "narrow": given.get(f"{name}_narrow", given.get(f"{name}_narrow_range", 0)),
        "rounding_mode": given[f"{name}_rounding_mode"],
    }


def _quantized(given: Attributes, parameters: Any, x: Rationals) -> Rationals:
    """A quantizer, behind its sigmoid or tanh."""
    if given["function"] in ("sigmoid", "tanh"):
        steps = parameters[0].item()
        x = elementwise(partial(_near, given["function"], steps))(x)
    return np.asarray(quant(given, x, *parameters))


def _near(function: str, step: Fraction, v: Fraction) -> Fraction:
    """The multiple of `step` next to sigmoid(v) or tanh(v), halves to even.

    Of all rational arguments, only 0 has a rational result (Lindemann), so only it can be a half.
    """
    if v == 0:
        return Fraction(1, 2) if function == "sigmoid" else v
    context = Context(prec=_DIGITS)
    real = context.divide(Decimal(v.numerator), Decimal(v.denominator))
    power = context.exp(context.multiply(real, Decimal(-1 if function == "sigmoid" else -2)))
    above = Decimal(1) if function == "sigmoid" else context.subtract(Decimal(1), power)
    value = context.divide(above, context.add(Decimal(1), power))
    codes = context.multiply(
        context.divide(value, Decimal(step.numerator)), Decimal(step.denominator)
    )
    code = codes.to_integral_value(ROUND_HALF_EVEN, context)
    distance = abs(abs(context.subtract(codes, code)) - Decimal("0.5"))
    assert distance > _CLOSE, f"{function}({v}) needs more digits"
    return int(code) * step
