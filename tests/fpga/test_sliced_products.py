# SPDX-License-Identifier: Apache-2.0
"""DSP slices and the cells behind them add up what the formulas say, however rows share them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dot_products import random_codes

from qdeploy.fpga.compressors.dot_products import Shape, word_sums
from qdeploy.fpga.compressors.sliced_products import group_netlist, legal_products, packing, size


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    bits, weight_bits = draw(st.integers(1, 10)), draw(st.integers(2, 10))
    simd, sum_bits = draw(st.integers(1, 20)), draw(st.integers(1, 24))
    signed, narrow = bits > 1 and draw(st.booleans()), draw(st.booleans())
    return Shape("integer", simd, bits, signed, weight_bits, sum_bits, narrow)


@settings(max_examples=150, deadline=None)
@given(shape=shapes(), pe=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_slices_add_up_the_products(shape: Shape, pe: int, seed: int) -> None:
    """Fields of neighbouring rows meet at their extremes: all lowest, all highest, alternating."""
    rng = np.random.default_rng(seed)
    words, plan = 24, packing(shape, pe)
    assert "dsp" in legal_products(shape)
    codes = random_codes(rng, shape, words * plan.rows).reshape(words, plan.rows, shape.simd)
    highest = (1 << shape.weight_bits - 1) - 1
    lowest = -highest - (not shape.narrow)
    codes = codes.clip(lowest)
    codes[:4] = np.array([lowest, highest, lowest, highest])[:, np.newaxis, np.newaxis]
    codes[2:4, ::2] = codes[1::-1, ::2]
    unsigned = rng.integers(0, 1 << shape.element_bits, (words, shape.simd))
    unsigned[0:4] = (1 << shape.element_bits) - 1
    start = int(rng.integers(1 << shape.sum_bits))
    netlist, _ = group_netlist(shape, plan, plan.rows, start)
    digits = codes[:, :, np.newaxis] >> np.arange(shape.weight_bits)[:, np.newaxis] & 1
    found = netlist.outputs(
        "sums",
        {
            "elements": (unsigned[..., np.newaxis] >> np.arange(shape.element_bits) & 1).reshape(
                words, -1
            ),
            "codes": digits.reshape(words, -1),
            "first": np.ones((words, 1), np.int64),
            "enable": np.ones((words, 1), np.int64),
            "sums": np.zeros((words, plan.rows * shape.sum_bits), np.int64),
        },
    ).reshape(words, plan.rows, -1)
    elements = unsigned - (1 << shape.element_bits - 1 if shape.flip else 0)
    expected = start + word_sums(shape, elements[:, np.newaxis], codes)
    weights = 1 << np.arange(shape.sum_bits)
    assert np.array_equal((found * weights).sum(-1), expected % (1 << shape.sum_bits))


@pytest.mark.parametrize(
    ("bits", "narrow", "rows_per_slice", "luts_per_lane", "saved_per_slice"),
    [
        (3, False, 4, 2.7, 20),
        (4, False, 3, 2.0, 30),
        (6, False, 2, 2.8, 50),
        (8, False, 2, 10.1, 80),
        (8, True, 2, 5.9, 90),
    ],
)
def test_slices_save_luts(
    bits: int, narrow: bool, rows_per_slice: int, luts_per_lane: float, saved_per_slice: float
) -> None:
    """Compute cores of 16 rows and 32 columns with accumulators for 576 columns."""
    shape = Shape("integer", 32, bits, False, bits, 2 * bits + 10, narrow)
    in_luts, in_slices = size(shape, 16, "lut"), size(shape, 16, "dsp")
    luts = 16 * in_slices.luts + in_slices.shared_luts
    assert in_slices.slices == -(-16 // rows_per_slice) * 32
    assert luts <= luts_per_lane * 16 * 32
    assert 16 * in_luts.luts - luts >= saved_per_slice * in_slices.slices
    assert in_slices.registers < in_luts.registers
