# SPDX-License-Identifier: Apache-2.0
"""What the memories of a matrix-vector unit hold, in the order of its contract."""

from __future__ import annotations

from math import gcd

import numpy as np

from qdeploy.fpga.matrix_vector.arithmetic import Matrix
from qdeploy.integer import Integers


def weight_words(matrix: Matrix, simd: int, pe: int) -> Integers:
    """Bits of the weight memory [words, PE · bits · SIMD]."""
    planes, height, width = matrix.codes.shape
    bits = matrix.weight_bits
    stored = (matrix.codes + 1) // 2 if bits == 1 else matrix.codes
    blocks = stored.reshape(planes, height // pe, pe, width // simd, simd)
    digits = np.stack([blocks.transpose(1, 0, 3, 2, 4) >> b & 1 for b in range(bits)], axis=-2)
    return digits.reshape(-1, pe * bits * simd)


def scale_share(matrix: Matrix, simd: int) -> int:
    """Neighbouring elements of a word that share a scale, if elements are scaled."""
    assert matrix.element_scales is not None
    return gcd(simd, matrix.codes.shape[2] // matrix.element_scales.shape[1])


def places(matrix: Matrix, simd: int) -> int:
    """Words of a memory that is read at the place of a word: each plane at a power of two."""
    planes, _, width = matrix.codes.shape
    words = width // simd
    return int(((planes - 1) << (words - 1).bit_length()) + words)


def element_scale_words(matrix: Matrix, simd: int) -> Integers:
    """Scales of the elements of a word [places, SIMD / share]."""
    scales, (planes, _, width) = matrix.element_scales, matrix.codes.shape
    assert scales is not None
    share, words = scale_share(matrix, simd), width // simd
    shared = scales.repeat(width // scales.shape[1] // share, axis=1)
    padded = np.zeros((planes, 1 << (words - 1).bit_length(), simd // share), np.int64)
    padded[:, :words] = shared.reshape(planes, words, -1)
    return padded.reshape(-1, simd // share)[: places(matrix, simd)]
