# SPDX-License-Identifier: Apache-2.0
"""Integers to the words of a stream and back: element 0 in the least significant bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pack_words(values: npt.NDArray[np.integer], bits: int) -> npt.NDArray[np.uint8]:
    """Pack the rows of `values` into words, bytes in little-endian order.

    Args:
        values: integers [words, elements]; negative ones are stored in two's complement.
        bits: bits of an element, 1 to 64; higher bits of a value are cut off.

    Returns:
        uint8 [words, ceil(elements * bits / 8)], unused bits zero. A row as a Python integer is
        `int.from_bytes(row.tobytes(), "little")`.
    """
    words, elements = values.shape
    single = (values.astype(np.int64)[:, :, None] >> np.arange(bits)) & 1
    flat = single.astype(np.uint8).reshape(words, elements * bits)
    return np.packbits(flat, axis=1, bitorder="little")


def unpack_words(
    words: npt.NDArray[np.uint8], bits: int, elements: int, *, signed: bool
) -> npt.NDArray[np.int64]:
    """Undo `pack_words`.

    Args:
        words: uint8 [words, bytes], at least `elements * bits` bits wide.
        bits: bits of an element, 1 to 64 (63 if not signed).
        elements: elements of a word.
        signed: elements are in two's complement.

    Returns:
        int64 [words, elements].
    """
    flat = np.unpackbits(words, axis=1, bitorder="little", count=elements * bits)
    single = flat.reshape(len(words), elements, bits).astype(np.int64)
    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -(1 << bits - 1)
    return single @ weights
