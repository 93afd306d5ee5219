# SPDX-License-Identifier: Apache-2.0
"""Frames in memory against the words of the simulation, which pack bit by bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.board.manifest import Stream
from qdeploy.board.streams import frame_bytes, pack_frames, unpack_frames, word_bytes
from qdeploy.fpga import design
from qdeploy.fpga.simulated import input_words


def described(shape: tuple[int, ...], elements: int, bits: int, kind: str, spare: int) -> Stream:
    """The stream of a tensor; `spare` bits of a word are unused, besides those to a whole byte."""
    words, width = int(np.prod(shape)) // elements, -(-(elements * bits + spare) // 8) * 8
    return Stream(
        shape=shape,
        bits=bits,
        signed=kind != "unsigned",
        bipolar=kind == "bipolar",
        elements_per_word=elements,
        words_per_frame=words,
        width=width,
        word_bytes=word_bytes(width),
        frame_bytes=frame_bytes(words, width),
    )


@st.composite
def frames(draw: st.DrawFn) -> tuple[np.ndarray, Stream]:
    kind = draw(st.sampled_from(["signed", "unsigned", "bipolar"]))
    bits = 1 if kind == "bipolar" else draw(st.integers(1, 63 if kind == "unsigned" else 64))
    elements = draw(st.integers(1, 70))
    positions = draw(st.sampled_from([(), (1, 1), (2, 3)]))
    shape = (*positions, elements * draw(st.integers(1, 3)))
    stream = described(shape, elements, bits, kind, draw(st.integers(0, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    count = draw(st.integers(0, 3))
    low, high = {
        "signed": (-(1 << bits - 1), (1 << bits - 1) - 1),
        "unsigned": (0, (1 << bits) - 1),
        "bipolar": (0, 1),
    }[kind]
    codes = rng.integers(low, high, (count, shape[-1], *positions), np.int64, endpoint=True)
    return 2 * codes - 1 if kind == "bipolar" else codes, stream


@given(frames())
def test_same_bytes_as_the_words_of_the_simulation(case: tuple[np.ndarray, Stream]) -> None:
    codes, stream = case
    fields = {name: getattr(stream, name) for name in design.Stream.model_fields}
    words = input_words(codes, design.Stream(**fields))
    expected = np.zeros((len(words), stream.word_bytes), np.uint8)
    expected[:, : words.shape[1]] = words
    packed = pack_frames(codes, stream)
    assert packed.shape == (len(codes), stream.frame_bytes)
    assert stream.frame_bytes % 8 == 0
    used = stream.words_per_frame * stream.word_bytes
    assert np.array_equal(packed[:, :used].ravel(), expected.ravel())
    assert not packed[:, used:].any()
    unpacked = unpack_frames(packed, stream)
    assert unpacked.dtype == np.int64
    assert np.array_equal(unpacked, codes)


@given(frames())
def test_unused_bits_are_not_looked_at(case: tuple[np.ndarray, Stream]) -> None:
    codes, stream = case
    ones = np.full((1, *codes.shape[1:]), -1 if stream.signed else (1 << stream.bits) - 1)
    ones = np.ones_like(ones) if stream.bipolar else ones
    unused = ~pack_frames(ones, stream)
    assert np.array_equal(unpack_frames(pack_frames(codes, stream) | unused, stream), codes)


def test_words_take_powers_of_two() -> None:
    assert [word_bytes(width) for width in (1, 8, 16, 24, 32, 40, 72, 136)] == [
        1, 1, 2, 4, 4, 8, 16, 32,
    ]  # fmt: skip
    assert frame_bytes(64, 8) == 64
    assert frame_bytes(5, 24) == 24
