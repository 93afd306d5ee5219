# SPDX-License-Identifier: Apache-2.0
"""Trees of constant weights add up what the ordinary structure does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dot_products import random_codes, shapes

from qdeploy.fpga.compressors.constant_matrix import constant_netlist, constant_structure
from qdeploy.fpga.compressors.dot_products import Kind, Shape, word_sums


@settings(max_examples=100, deadline=None)
@given(shape=shapes(), rows=st.integers(3, 6), seed=st.integers(0, 2**32))
def test_rows_are_those_of_the_formulas(shape: Shape, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = int(rng.integers(1 << shape.sum_bits))
    codes = random_codes(rng, shape, rows)
    if shape.kind in ("ternary", "integer"):
        codes[2] = 0
    low = -(1 << (shape.element_bits - 1)) if shape.element_signed else 0
    x = rng.integers(low, low + (1 << shape.element_bits), (20, shape.simd))
    netlist, _ = constant_netlist(shape, codes, start)
    bits = (x[..., np.newaxis] >> np.arange(shape.element_bits) & 1).reshape(len(x), -1)
    found = netlist.outputs("sums", {"elements": bits}).reshape(len(x), rows, -1)
    expected = start + word_sums(shape, x[:, np.newaxis], codes)
    weights = 1 << np.arange(shape.sum_bits)
    assert np.array_equal((found * weights).sum(-1), expected % (1 << shape.sum_bits))


@pytest.mark.parametrize(
    ("kind", "bits", "luts"),
    [("xnor", 1, 0.6), ("binary", 2, 0.95), ("ternary", 1, 0.6), ("ternary", 2, 1.0)],
)
def test_luts_per_weight(kind: Kind, bits: int, luts: float) -> None:
    """64 x 64 random weights, two thirds of the ternary ones not zero."""
    choices = [-1, 0, 1] if kind == "ternary" else [-1, 1]
    codes = np.random.default_rng(0).choice(choices, (64, 64))
    shape = Shape(kind, 64, bits, False, 2 if kind == "ternary" else 1, 7 + bits)
    assert constant_structure(shape, codes, 0, "rows").luts <= luts * codes.size
