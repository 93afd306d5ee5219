# SPDX-License-Identifier: Apache-2.0
"""Generated LSTM kernels give the integers of the reference on every target of this machine."""

import ctypes
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lstm_layers import layer_of, layers, quantizers, random_codes, random_weights, signed
from program_runs import Guarded

from qdeploy.cpu import LstmSession
from qdeploy.errors import UserError
from qdeploy.integer import ROUNDED_QUOTIENT, LstmLayer, StepFunction, ValueRange

pytest.importorskip("llvmlite")
from qdeploy.cpu.kernels.compilation import LoadedObject
from qdeploy.cpu.kernels.targets import Target, host_targets
from qdeploy.cpu.lstm.program import compile_lstm

TARGETS = pytest.mark.parametrize("target", host_targets(), ids=lambda target: target.name)


def plain_layer(size: int = 9, inputs: int = 6, book: str = "binary", bits: int = 8) -> LstmLayer:
    rng = np.random.default_rng(0)
    weights = (random_weights(rng, (4 * size, n), book, 1, "layer") for n in (inputs, size))
    inside = quantizers(signed(bits), signed(bits), 16, 8)
    return layer_of(*weights, rng.integers(-9, 9, 4 * size), inside)


def check(layer: LstmLayer, session: LstmSession, steps: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = random_codes(rng, layer.input, (steps, count, layer.input_size))
    state = [
        random_codes(rng, limits, (count, layer.hidden_size))
        for limits in (layer.hidden, layer.state)
    ]
    for given_state in (None, tuple(state)):
        got, (h, c) = session.run(x, given_state)
        want, (want_h, want_c) = layer.run(x, given_state)
        assert np.array_equal(got, want)
        assert np.array_equal(h, want_h)
        assert np.array_equal(c, want_c)


@TARGETS
@settings(max_examples=8, deadline=None)
@given(layers(), st.integers(1, 6), st.integers(0, 2**32))
def test_random_layers_between_guard_pages(
    target: Target, layer: LstmLayer, count: int, seed: int
) -> None:
    rng, steps = np.random.default_rng(seed), 3
    compiled = compile_lstm(layer, target)
    loaded = LoadedObject(compiled.code, target)
    kinds = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 2 + [ctypes.c_void_p] * 5
    function = ctypes.CFUNCTYPE(ctypes.c_long, *kinds)(loaded.address("steps"))
    x = random_codes(rng, layer.input, (steps, count, layer.input_size))
    h, c = (random_codes(rng, r, (count, layer.hidden_size)) for r in (layer.hidden, layer.state))
    outputs, (_, last) = layer.run(x, (h, c))
    for late in (False, True):
        memory = [
            Guarded(values, late=late)
            for values in (
                np.frombuffer(compiled.constants, np.uint8),
                np.zeros(compiled.arena_bytes(count), np.uint8),
                x,
                h,
                c,
                np.zeros_like(outputs),
                np.zeros_like(last),
            )
        ]
        block, arena, *buffers = (part.address for part in memory)
        assert function(block, arena, count, steps, *buffers) == 0
        *_, got, got_last = (part.read() for part in memory)
        assert np.array_equal(got, outputs)
        assert np.array_equal(got_last, last)


@TARGETS
@pytest.mark.parametrize(
    ("book", "bits"), [("binary", 4), ("binary", 8), ("ternary", 2), ("int2", 5), ("int4", 8)]
)
def test_large_layers(target: Target, book: str, bits: int) -> None:
    layer = plain_layer(70, 130, book, bits)
    check(layer, LstmSession(layer, target=target), 4, 5, 1)


@TARGETS
@pytest.mark.parametrize("rounding", sorted(ROUNDED_QUOTIENT))
def test_rounding_rules(target: Target, rounding: str) -> None:
    """Divisors with and without ties, in 32 and 64 bits."""
    layer, names = plain_layer(), ("forget", "update", "output")
    for factors in (((3, 64), (5, 77), (1, 6)), ((2**29 + 1, 2**37), (2**29 + 1, 3**20), (7, 2))):
        parts = {
            name: replace(
                getattr(layer, name),
                multiplier=np.array([multiplier]),
                divisor=np.array([divisor]),
                rounding=rounding,
            )
            for name, (multiplier, divisor) in zip(names, factors, strict=True)
        }
        scaled = replace(layer, **parts)
        check(scaled, LstmSession(scaled, target=target), 5, 7, 2)


@TARGETS
def test_the_cell_state_stays_at_its_limits(target: Target) -> None:
    """Gates that are all open add the same product in each step."""
    layer = plain_layer()
    always = [StepFunction(np.zeros(0, np.int64), code) for code in (255, 255, 127, 255)]
    for cell_gate, limit in ((127, layer.state.high), (-127, layer.state.low)):
        always[2] = StepFunction(np.zeros(0, np.int64), cell_gate)
        full = replace(layer, gates=tuple(always))
        x = np.zeros((20, 2, layer.input_size), np.int64)
        got, (h, c) = LstmSession(full, target=target).run(x)
        want, (_, state) = full.run(x)
        assert np.array_equal(got, want)
        assert np.array_equal(c, state)
        assert (c == limit).all()
        assert np.array_equal(h, got[-1])


@TARGETS
@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(-3000, 3000), max_size=300), st.integers(1, 4000))
def test_any_thresholds(target: Target, thresholds: list[int], spread: int) -> None:
    """Equal ones, one next to the other, far away, none."""
    odd = StepFunction(np.sort(np.array(thresholds, np.int64) * spread // 997), -len(thresholds))
    layer = plain_layer()
    layer = replace(layer, gates=(*layer.gates[:2], odd, layer.gates[3]))
    check(layer, LstmSession(layer, target=target), 3, 4, 3)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 5, 150])
def test_threads_and_batches(threads: int, count: int) -> None:
    layer = plain_layer()
    check(layer, LstmSession(layer, threads), 3, count, 4)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_long_sequences(count: int) -> None:
    """Inputs of several steps are multiplied together."""
    layer = plain_layer()
    session = LstmSession(layer)
    for steps in (16, 37, 1):
        check(layer, session, steps, count, 8)


def test_step_and_no_steps() -> None:
    layer = plain_layer()
    session, rng = LstmSession(layer), np.random.default_rng(5)
    x = random_codes(rng, layer.input, (2, layer.input_size))
    for got, want in zip(
        session.step(x.tolist(), *layer.zero_state(2)),
        layer.step(x, *layer.zero_state(2)),
        strict=True,
    ):
        assert np.array_equal(got, want)
    outputs, (h, c) = session.run(np.zeros((0, 2, layer.input_size), np.int64))
    assert outputs.shape == (0, 2, layer.hidden_size)
    assert not h.any()
    assert not c.any()


def test_codes_that_do_not_fit() -> None:
    layer = plain_layer()
    session = LstmSession(layer)
    x = np.zeros((2, 3, layer.input_size), np.int64)
    with pytest.raises(UserError, match="x has shape"):
        session.run(x[0])
    with pytest.raises(UserError, match=r"layer 'lstm': x has type float64"):
        session.run(x.astype(float))
    h, c = layer.zero_state(3)
    for sequence in range(3):
        for wrong in (128, -129, 2**40, -(2**63)):
            spoilt = x.copy()
            spoilt[1, sequence, sequence % layer.input_size] = wrong
            with pytest.raises(UserError, match=r"x has codes(.|\n)*-128\.\.127"):
                session.run(spoilt)
    with pytest.raises(UserError, match=r"c has codes -32769\.\.0"):
        session.run(x, (h, c - 32769 * (np.arange(9) == 8)))
    with pytest.raises(UserError, match=r"h has codes 0\.\.128"):
        session.run(x, (h + 128 * (np.arange(9) == 8), c))
    with pytest.raises(UserError, match=r"h has type.*\(2, 9\)"):
        session.run(x, (h[:2], c))


def test_layers_that_are_too_wide() -> None:
    layer = plain_layer()
    with pytest.raises(UserError, match=r"inputs 0\.\.256(.|\n)*8 bits"):
        LstmSession(replace(layer, input=ValueRange(0, 256)))
    bias = layer.bias + (1 << 31)
    with pytest.raises(UserError, match="32 bits"):
        LstmSession(replace(layer, bias=bias))


def test_a_unit_of_the_sums_that_is_tiny() -> None:
    """Thresholds beyond int32 are never reached."""
    rng = np.random.default_rng(6)
    weights = (random_weights(rng, (20, 5), "ternary", 1, "layer") for _ in range(2))
    layer = layer_of(*weights, np.zeros(20, np.int64), quantizers(signed(8), signed(8), 16, 8))
    from qdeploy.lowering.lstm import UniformQuantizer, sigmoid_steps

    gate = sigmoid_steps(
        UniformQuantizer(ValueRange(0, 255), Fraction(1, 256)), Fraction(1, 1 << 50)
    )
    layer = replace(layer, gates=(gate,) * 4)
    check(layer, LstmSession(layer), 3, 2, 7)
