# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.simulation.packing import pack_words, unpack_words


@st.composite
def elements(draw: st.DrawFn) -> tuple[np.ndarray, int, bool]:
    """Integers [words, elements], their bits, and whether they are signed."""
    signed = draw(st.booleans())
    bits = draw(st.integers(1, 64 if signed else 63))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    words, count = draw(st.integers(0, 5)), draw(st.integers(1, 9))
    value = st.one_of(st.integers(low, high), st.sampled_from([low, high]))
    values = draw(st.lists(value, min_size=words * count, max_size=words * count))
    return np.array(values, np.int64).reshape(words, count), bits, signed


@given(elements())
def test_unpacking_undoes_packing(case: tuple[np.ndarray, int, bool]) -> None:
    values, bits, signed = case
    packed = pack_words(values, bits)
    assert packed.shape == (len(values), -(-values.shape[1] * bits // 8))
    assert np.array_equal(unpack_words(packed, bits, values.shape[1], signed=signed), values)


@given(elements())
def test_element_0_is_in_the_lowest_bits(case: tuple[np.ndarray, int, bool]) -> None:
    values, bits, _ = case
    for row, word in zip(values.tolist(), pack_words(values, bits), strict=True):
        whole = sum((value % (1 << bits)) << (bits * place) for place, value in enumerate(row))
        assert int.from_bytes(word.tobytes(), "little") == whole


def test_ports_wider_than_the_word() -> None:
    packed = np.pad(pack_words(np.array([[3, -4, 1]]), 3), ((0, 0), (0, 6)))
    assert unpack_words(packed, 3, 3, signed=True).tolist() == [[3, -4, 1]]
