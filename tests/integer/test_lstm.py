# SPDX-License-Identifier: Apache-2.0
"""LSTM layers on integers: against single rationals, and what a layer promises."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lstm_layers import layer_of, layers, quantizers, random_codes, random_weights, signed

from qdeploy.errors import InternalError, UserError
from qdeploy.integer import LstmLayer, Quotient, StepFunction, Weights


def rounded(quotient: Quotient, x: int) -> int:
    ratio = Fraction(int(quotient.multiplier[0]) * x, int(quotient.divisor[0]))
    return min(max(round(ratio), int(quotient.low[0])), int(quotient.high[0]))


def reached(steps: StepFunction, x: int) -> int:
    return steps.low + sum(x >= int(threshold) for threshold in steps.thresholds)


def element(layer: LstmLayer, x: list[int], h: list[int], c: int, unit: int) -> tuple[int, int]:
    """One hidden unit of one sequence, number by number."""
    codes = []
    for number, gate in enumerate(layer.gates):
        row = number * layer.hidden_size + unit
        total = int(layer.bias[row])
        for weights, values in ((layer.input_weights, x), (layer.hidden_weights, h)):
            for weight, value in zip(weights.integers()[row].tolist(), values, strict=True):
                total += weight * value
        assert layer.sums.low <= total <= layer.sums.high
        codes.append(reached(gate, total))
    i, f, g, o = codes
    c = rounded(layer.forget, f * c) + rounded(layer.update, i * g)
    c = min(max(c, layer.state.low), layer.state.high)
    return rounded(layer.output, o * reached(layer.cell, c)), c


@settings(max_examples=25, deadline=None)
@given(layers(), st.integers(0, 2**32))
def test_step_against_single_numbers(layer: LstmLayer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = random_codes(rng, layer.input, (2, layer.input_size))
    h, c = (random_codes(rng, r, (2, layer.hidden_size)) for r in (layer.hidden, layer.state))
    following, state = layer.step(x, h, c)
    for sequence in range(2):
        for unit in range(min(4, layer.hidden_size)):
            want = element(
                layer, x[sequence].tolist(), h[sequence].tolist(), int(c[sequence, unit]), unit
            )
            assert (following[sequence, unit], state[sequence, unit]) == want


@settings(max_examples=10, deadline=None)
@given(layers(), st.integers(0, 2**32))
def test_sequences_are_repeated_steps(layer: LstmLayer, seed: int) -> None:
    x = random_codes(np.random.default_rng(seed), layer.input, (4, 3, layer.input_size))
    outputs, (h, c) = layer.run(x)
    state = layer.zero_state(3)
    for present, output in zip(x, outputs, strict=True):
        state = layer.step(present, *state)
        assert np.array_equal(output, state[0])
    assert np.array_equal(h, state[0])
    assert np.array_equal(c, state[1])


def test_parts_that_do_not_fit() -> None:
    rng, inside = np.random.default_rng(0), quantizers(signed(8), signed(8), 16, 8)
    weights = (random_weights(rng, (12, columns), "ternary", 1, "row") for columns in (5, 3))
    layer = layer_of(*weights, np.zeros(12, np.int64), inside)
    with pytest.raises(InternalError, match="biases"):
        replace(layer, bias=layer.bias[:-1])
    with pytest.raises(InternalError, match="biases"):
        replace(layer, hidden_weights=Weights((layer.input_weights.planes[0],) * 2))
    with pytest.raises(InternalError, match="unequal limits"):
        replace(layer, update=replace(layer.update, high=layer.update.high + 1))
    wide = replace(layer.output, multiplier=np.array([1 << 60]))
    with pytest.raises(UserError, match="too wide"):
        replace(layer, output=wide)
