# SPDX-License-Identifier: Apache-2.0
"""Tables and weights for `LookupTile`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.program.layouts import Lattice, Levels
from qdeploy.integer import Integers

Bytes = NDArray[np.uint8]
_INDEX_BITS = 4


@dataclass(frozen=True)
class CodeBook:
    """The values of the weights of a layer: at most two, or at most four.

    Attributes:
        values: ascending.
    """

    values: tuple[int, ...]

    @property
    def digit_bits(self) -> int:
        """Bits of a weight in an index."""
        return 1 if len(self.values) <= 2 else 2

    @property
    def per_group(self) -> int:
        """Weights of a group."""
        return _INDEX_BITS // self.digit_bits

    def digits(self, codes: Integers) -> Integers:
        """Position of each code among the values."""
        return np.searchsorted(self.values, codes).astype(np.int64)

    def weights(self, index: int) -> list[int]:
        """The weights of an index; digits beyond the book count as its last value."""
        digits = [
            index >> self.digit_bits * k & (1 << self.digit_bits) - 1 for k in range(self.per_group)
        ]
        return [self.values[min(digit, len(self.values) - 1)] for digit in digits]


def _packing(book: CodeBook, bits: int, channels: int) -> Packing | None:
    """How activations of `bits` bits are packed for weights of `book`; None: they cannot be."""
    if bits > 4:
        return None
    packed = Packing(book.per_group if bits <= 2 else 2, bits)
    pixel = -(-channels // packed.fields) * packed.fields
    return None if pixel % book.per_group else packed  # else a group would reach beyond its pixel


def levels(book: CodeBook, lattice: Lattice, pad: int | None, channels: int) -> Levels | None:
    """The layout that a layer with weights of `book` reads, without its border.

    A padding code that is no code of the lattice takes a byte that no levels take, if there is one,
    else a finer lattice.

    Args:
        book: of the weights.
        lattice: of the activations.
        pad: code of the padding, None without.
        channels: of a pixel.
    """
    held = lattice.holding(pad)
    if held.bits > lattice.bits:
        packed = _packing(book, lattice.bits, channels)
        if packed is not None and packed.fields * packed.bits < 8:
            unused = 1 << packed.fields * packed.bits
            return Levels(packed, lattice, (unused, unused + 1))
    packed = _packing(book, held.bits, channels)
    if packed is None:
        return None
    if pad is None:
        return Levels(packed, held)
    level, last = held.level(pad), (channels - 1) % packed.fields + 1
    return Levels(
        packed, held, (_byte(packed, [level] * packed.fields), _byte(packed, [level] * last))
    )


def _byte(packed: Packing, levels_of: list[int]) -> int:
    return sum(level << packed.bits * k for k, level in enumerate(levels_of))


@dataclass(frozen=True, eq=False)
class Bank:
    """The tables of a layer.

    Attributes:
        tables: uint8 [group bytes, 256, 16].
        bias: what every group's sum is too large by.
        flush: groups whose sum fits a byte.
        padding: sum of what the missing channels of a pixel's last byte add, without the bias.
    """

    tables: Bytes
    bias: int
    flush: int
    padding: int

    @classmethod
    def of(cls, book: CodeBook, layout: Levels, channels: int, pad: int) -> Bank | None:
        """The tables for weights of `book`; None if a group's sum does not fit a byte.

        Bytes of padding that no levels take stand for the code `pad`.
        """
        fields, missing = layout.packing.fields, -channels % layout.packing.fields
        low = layout.lattice.low
        group_bytes, unused = book.per_group // fields, 1 << fields * layout.packing.bits
        weights = np.array([book.weights(index) for index in range(16)])  # [16, per group]
        sums = np.zeros((group_bytes, 256, 16), np.int64)
        for k, part in enumerate(np.split(weights, group_bytes, axis=1)):
            sums[k] = _codes(layout) @ part.T
            if unused in layout.pad:
                sums[k, layout.pad[0]] = pad * part.sum(axis=1)
                last = np.where(np.arange(fields) < fields - missing, pad, low)
                sums[k, layout.pad[1]] = part @ last
        bias = -int(sum(part.min() for part in sums))
        tables = np.stack([part - part.min() for part in sums])
        most = int(sum(part.max() for part in tables))
        if most > 255:
            return None
        padding = missing * low * book.values[0]
        return cls(tables.astype(np.uint8), bias, 255 // max(1, most), padding)


def _codes(layout: Levels) -> Integers:
    """The codes of the fields of every byte, int64 [256, fields]; 0 for bytes that are not used."""
    packed, lattice = layout.packing, layout.lattice
    codes = np.zeros((256, packed.fields), np.int64)
    for levels_of in product(range(lattice.count), repeat=packed.fields):
        byte = _byte(packed, list(levels_of[::-1]))
        codes[byte] = [lattice.low + lattice.step * level for level in levels_of[::-1]]
    return codes


def pack_weights(book: CodeBook, codes: Integers, layout: Levels, tile: LookupTile) -> Bytes:
    """Weights [O, pixels, channels] as the tile reads them, uint8 [tiles, bytes of a tile]."""
    outputs, _, channels = codes.shape
    missing = -channels % layout.packing.fields
    digits = np.pad(book.digits(codes), ((0, -outputs % tile.outputs), (0, 0), (0, missing)))
    flat = digits.reshape(len(digits), -1)
    flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % book.per_group)))
    places = 1 << book.digit_bits * np.arange(book.per_group)
    indices = (flat.reshape(len(flat), -1, book.per_group) @ places).astype(np.uint8)
    groups = indices.shape[1]
    indices = np.pad(indices, ((0, 0), (0, groups % 2)))
    pairs = indices[:, 0::2] | indices[:, 1::2] << 4  # [O, pairs]
    tiles = pairs.reshape(-1, tile.outputs, pairs.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(tiles).reshape(len(tiles), -1)
