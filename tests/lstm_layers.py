# SPDX-License-Identifier: Apache-2.0
"""Random layers of long short-term memory with every kind of weights, and inputs for them."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from qdeploy.integer import (
    Builder,
    Embedding,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Integers,
    Linear,
    Lstm,
    LstmLayer,
    Plane,
    ValueRange,
    Weights,
)
from qdeploy.lowering.lstm import LstmQuantizers, UniformQuantizer, lstm_layer

BOOKS = {
    "binary": (-1, 1),
    "ternary": (-1, 0, 1),
    "int2": (-2, -1, 0, 1),
    "int4": tuple(range(-8, 8)),
    "int8": tuple(range(-128, 128)),
    "logarithmic": (-4, -2, -1, 0, 1, 2, 4),
}


def signed(bits: int) -> ValueRange:
    return ValueRange(-(1 << bits - 1), (1 << bits - 1) - 1)


def random_weights(
    rng: np.random.Generator, shape: tuple[int, int], book: str, planes: int, grid: str
) -> Weights:
    rows, columns = shape
    sizes = {
        "layer": (1, 1),
        "row": (rows, 1),
        "group": (rows, columns // 4 if columns % 4 == 0 else 1),
    }
    return Weights(
        tuple(
            Plane(
                rng.choice(BOOKS[book], shape).astype(np.int16),
                rng.integers(1, 60, sizes[grid]) if grid != "layer" else np.ones((1, 1), np.int64),
            )
            for _ in range(planes)
        )
    )


def quantizers(
    input_range: ValueRange,
    hidden: ValueRange,
    state_bits: int,
    gate_bits: int,
    scale: Fraction = Fraction(1),
) -> LstmQuantizers:
    """Typical ones; `scale` makes the gates' scales other ones than powers of two."""
    sigmoid = UniformQuantizer(ValueRange(0, (1 << gate_bits) - 1), scale / (1 << gate_bits))
    tanh = UniformQuantizer(signed(gate_bits), scale / (1 << gate_bits - 1))
    state = UniformQuantizer(signed(state_bits), Fraction(4, 1 << state_bits - 1))
    largest = max(abs(hidden.low), abs(hidden.high), 1)
    return LstmQuantizers(
        input=UniformQuantizer(input_range, Fraction(1, 16)),
        hidden=UniformQuantizer(hidden, Fraction(1, largest)),
        cell_state=state,
        input_sigmoid=sigmoid,
        forget_sigmoid=sigmoid,
        cell_tanh=tanh,
        output_sigmoid=sigmoid,
        hidden_state_tanh=tanh,
    )


def layer_of(
    input_weights: Weights, hidden_weights: Weights, bias: Integers, inside: LstmQuantizers
) -> LstmLayer:
    """The layer whose sums mean so much that its gates take most of their codes."""
    spread = np.sqrt((input_weights.integers().astype(float) ** 2).sum(axis=1).mean() + 1)
    largest = max(abs(inside.input.range.low), abs(inside.input.range.high), 1)
    unit = Fraction(4 / (spread * largest)).limit_denominator(1 << 40)
    units = (unit, unit * 2, unit / 3, unit)
    return lstm_layer("lstm", input_weights, hidden_weights, bias, units, inside)


@st.composite
def layers(draw: st.DrawFn) -> LstmLayer:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, inputs = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    book, planes = draw(st.sampled_from(sorted(BOOKS))), draw(st.integers(1, 3))
    grid = draw(st.sampled_from(["layer", "row", "group"]))
    input_weights, hidden_weights = (
        random_weights(rng, (4 * size, columns), book, planes, grid) for columns in (inputs, size)
    )
    input_range, hidden = (
        draw(st.sampled_from([ValueRange(0, 255), ValueRange(0, 1), *map(signed, range(1, 9))]))
        for _ in range(2)
    )
    scale = draw(
        st.sampled_from([Fraction(1), Fraction(256, 255), Fraction(0.93).limit_denominator(99)])
    )
    inside = quantizers(
        input_range,
        hidden,
        draw(st.sampled_from([4, 8, 12, 16, 24])),
        draw(st.integers(2, 8)),
        scale,
    )
    bias = rng.integers(-300, 300, 4 * size, endpoint=True)
    return layer_of(input_weights, hidden_weights, bias, inside)


def random_codes(rng: np.random.Generator, limits: ValueRange, shape: tuple[int, ...]) -> Integers:
    return rng.integers(limits.low, limits.high, shape, endpoint=True)


def integer_language_model() -> IntegerNetwork:
    """Seven of 12 tokens, an LSTM of 5 units and ternary weights, and a decoder; random ones."""
    rng = np.random.default_rng(0)
    inside = quantizers(signed(8), signed(8), 16, 8)
    weights = (random_weights(rng, (20, columns), "ternary", 1, "row") for columns in (6, 5))
    layer = layer_of(*weights, rng.integers(-9, 9, 20), inside)
    builder = Builder()
    builder.input("tokens", (7,), ValueRange(0, 11), Fraction(1))
    table = rng.integers(-128, 127, (12, 6), endpoint=True)
    builder.add(Embedding(name="table", input="tokens", output="vectors", table=table))
    builder.add(Lstm(name="lstm", input="vectors", output="states", layer=layer))
    builder.add(Flatten(name="flat", input="states", output="flat"))
    decoder = random_weights(rng, (4, 35), "int4", 1, "layer")
    builder.add(Linear(name="decoder", input="flat", output="logits", weights=decoder))
    return builder.network(
        name="language_model",
        quantizer=InputQuantizer(np.arange(1, 12).astype(np.float32), 0),
        input_name="input",
        output_name="output",
    )
