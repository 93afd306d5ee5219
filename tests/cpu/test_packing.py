# SPDX-License-Identifier: Apache-2.0
"""Codes to bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_networks import CODES
from sample_networks import small_cnn, small_mlp

from qdeploy.cpu import information_bits
from qdeploy.cpu.packing import CodeBook, float_bytes, weight_bytes
from qdeploy.integer import Plane


def plane_of(values: list[int], dtype: type = np.int8) -> Plane:
    return Plane(np.array([values], dtype), np.ones((1, 1), np.int64))


@given(st.sampled_from(sorted(CODES)), st.data())
def test_round_trip_and_size(codes: str, data: st.DataObject) -> None:
    low, high = CODES[codes]
    code = st.sampled_from([-1, 1]) if codes == "binary" else st.integers(low, high)
    plane = plane_of(data.draw(st.lists(code, min_size=1, max_size=40)))
    book = CodeBook.of(plane)
    packed = book.pack(plane.codes)
    assert packed.dtype == np.uint8
    assert len(packed) == book.packed_bytes(plane.codes.size)
    assert len(packed) <= -(-plane.codes.size * plane.code_bits // 8)
    assert np.array_equal(book.unpack(packed, plane.codes.shape), plane.codes)


@pytest.mark.parametrize(
    ("values", "packed"),
    [
        ([-8, 7, 0], [0xF0, 0x08]),
        ([1, -1, -1, -1, -1, -1, -1, 1, 1], [0b10000001, 1]),
        ([-1, 0, 1, 1, 1, 0], [0 + 3 + 2 * 9 + 2 * 27 + 2 * 81, 1]),
        ([-4, 3, 0, 1], [0b00_011_100, 0b0_001_0]),
    ],
)
def test_layout(values: list[int], packed: list[int]) -> None:
    plane = plane_of(values)
    assert CodeBook.of(plane).pack(plane.codes).tolist() == packed


def test_codes_wider_than_a_byte() -> None:
    plane = plane_of([-40000, 0, 12345, 70000], np.int32)
    book = CodeBook.of(plane)
    assert book.packed_bytes(4) == 9  # 18 bits each
    assert np.array_equal(book.unpack(book.pack(plane.codes), (1, 4)), plane.codes)


def test_sizes_of_a_network() -> None:
    network = small_mlp(widths=(24, 16, 8))
    codes = 24 * 16 + 16 * 8
    assert weight_bytes(network) == codes // 8
    assert float_bytes(network) == 4 * codes
    accumulator = network.tensors["fc1"].range.bits
    bits = codes + 3 * 32 + 16 * 3 * accumulator + 2 * 32
    assert information_bits(network) == bits


def test_multipliers_count_as_information() -> None:
    scaled, plain = (small_cnn(granularity=granularity) for granularity in ("pixel", "layer"))
    largest = [scaled.nodes[index].weights.planes[0].multipliers.max() for index in (0, 2)]
    thresholds = [
        sum(
            node.thresholds.size * network.tensors[node.input].range.bits
            for node in network.nodes
            if node.kind == "Threshold"
        )
        for network in (scaled, plain)
    ]
    difference = information_bits(scaled) - information_bits(plain)
    assert difference - thresholds[0] + thresholds[1] == 9 * sum(
        int(value).bit_length() for value in largest
    )
