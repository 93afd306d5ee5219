# SPDX-License-Identifier: Apache-2.0
"""Cells of LUTs and carry chains add up what the formulas say, for every kind and shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.fpga.compressors.dot_products import (
    KINDS,
    Kind,
    Shape,
    next_sums,
    structure,
    word_sums,
)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    kind = draw(st.sampled_from(KINDS))
    bits = 1 if kind == "xnor" else draw(st.integers(1, 8))
    weight_bits = {"xnor": 1, "binary": 1, "ternary": 2}.get(kind) or draw(st.integers(2, 4))
    signed = kind != "xnor" and bits > 1 and draw(st.booleans())
    simd = draw(st.integers(1, 40))
    return Shape(kind, simd, bits, signed, weight_bits, draw(st.integers(1, 24)))


def random_codes(rng: np.random.Generator, shape: Shape, words: int) -> np.ndarray:
    limit = 1 << (shape.weight_bits - 1)
    kinds = {"xnor": [-1, 1], "binary": [-1, 1], "ternary": [-1, 0, 1]}
    choices = kinds.get(shape.kind, list(range(-limit, limit)))
    codes = rng.choice(choices, (words, shape.simd))
    codes[:2] = [[choices[0]], [choices[-1]]]
    return codes


@settings(max_examples=150, deadline=None)
@given(shape=shapes(), seed=st.integers(0, 2**32))
def test_cells_add_up_the_products(shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    modulus = 1 << shape.sum_bits
    start, held = int(rng.integers(modulus)), rng.integers(0, modulus, 24)
    codes = random_codes(rng, shape, 24)
    low = -(1 << (shape.element_bits - 1)) if shape.element_signed else 0
    high = low + (1 << shape.element_bits) - 1
    elements = rng.integers(low, high, codes.shape, endpoint=True)
    elements[2:4] = [[low], [high]]
    added = word_sums(shape, elements, codes)
    assert (added >= 0).all()
    assert np.array_equal(next_sums(shape, start, elements, codes), (start + added) % modulus)
    assert np.array_equal(next_sums(shape, start, elements, codes, held), (held + added) % modulus)


@pytest.mark.parametrize(
    ("kind", "bits", "simd", "luts_per_lane"),
    [
        ("xnor", 1, 64, 1.3),
        ("binary", 2, 64, 2.2),
        ("ternary", 2, 32, 3.0),
        ("ternary", 2, 64, 2.86),
    ],
)
def test_luts_of_the_core_stay_low(kind: Kind, bits: int, simd: int, luts_per_lane: float) -> None:
    """Compute core with accumulators for 576 columns, shift registers included."""
    shape = Shape(kind, simd, bits, False, 2 if kind == "ternary" else 1, 9 + bits + 2)
    core = structure(shape, 32, 0, "core")
    assert core.luts <= luts_per_lane * 32 * simd
