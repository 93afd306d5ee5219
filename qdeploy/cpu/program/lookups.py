# SPDX-License-Identifier: Apache-2.0
"""Tables and weights for `LookupTile`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.lookup import LookupTile, bank_bytes
from qdeploy.cpu.program.layouts import Lattice, Levels
from qdeploy.integer import Integers

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CodeBook:
    """The values of the weights of a layer, at least two weights to an index.

    Attributes:
        values: ascending.
        index_bits: of an index into a table.
    """

    values: tuple[int, ...]
    index_bits: int = 4

    @property
    def digit_bits(self) -> int:
        """Bits of a weight in an index."""
        return max(1, (len(self.values) - 1).bit_length())

    @property
    def per_group(self) -> int:
        """Weights of a group."""
        return self.index_bits // self.digit_bits

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
    if book.index_bits == 6:  # no more than 64 tables
        possible = [n for n in (6, 3, 2) if n * bits <= 6 and book.per_group % n == 0]
    else:
        possible = [book.per_group if bits <= 2 else 2] if bits <= 4 else []
    for fields in possible[:1]:
        packed = Packing(fields, bits)
        if _whole(packed, book, channels):
            return packed
    return None


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
    level, last = held.level(pad), packed.fields - _missing(packed, channels)
    return Levels(
        packed, held, (_byte(packed, [level] * packed.fields), _byte(packed, [level] * last))
    )


def _whole(packed: Packing, book: CodeBook, channels: int) -> bool:
    """Whether no group reaches into the next pixel, and all runs of channels are alike."""
    run = packed.run(channels)
    return channels % run == 0 and packed.bytes(run) * packed.fields % book.per_group == 0


def _missing(packed: Packing, channels: int) -> int:
    """Fields that are no channels in the last byte of each run of a pixel."""
    return -packed.run(channels) % packed.fields


def _byte(packed: Packing, levels_of: list[int]) -> int:
    return sum(level << packed.bits * k for k, level in enumerate(levels_of))


@dataclass(frozen=True, eq=False)
class Bank:
    """The tables of a layer. They hold what a group's sum is above the least one with its weights.

    Attributes:
        tables: uint8 [group bytes, bytes of activations, entries].
        least: sum of a group with the weights of each index, int64 [entries].
        spread: of the sums with these weights, int64 [entries].
        flush: groups whose sum fits a byte.
        padding: sum of what the missing channels of a run of a pixel add.
    """

    tables: Bytes
    least: Integers
    spread: Integers
    flush: int
    padding: int

    @classmethod
    def of(cls, book: CodeBook, layout: Levels, channels: int, pad: int) -> Bank | None:
        """The tables for weights of `book`; None if a group's sum does not fit a byte.

        Bytes of padding that no levels take stand for the code `pad`.
        """
        packed, low = layout.packing, layout.lattice.low
        fields, missing = packed.fields, _missing(packed, channels)
        entries = 1 << book.index_bits
        group_bytes, unused = book.per_group // fields, 1 << fields * layout.packing.bits
        weights = np.array([book.weights(index) for index in range(entries)])
        sums = np.zeros((group_bytes, bank_bytes(entries) // entries, entries), np.int64)
        codes = _codes(layout)
        used = list(codes)
        for k, part in enumerate(np.split(weights, group_bytes, axis=1)):
            sums[k, used] = np.array(list(codes.values())) @ part.T
            if unused in layout.pad:
                sums[k, layout.pad[0]] = pad * part.sum(axis=1)
                last = np.where(np.arange(fields) < fields - missing, pad, low)
                sums[k, layout.pad[1]] = part @ last
        used += layout.pad if unused in layout.pad else ()
        least = sums[:, used].min(axis=1)
        spread = (sums[:, used].max(axis=1) - least).sum(axis=0)
        if spread.max() > 255:
            return None
        tables = np.zeros(sums.shape, np.uint8)
        tables[:, used] = sums[:, used] - least[:, np.newaxis]
        padding = missing * low * book.values[0]
        flush = 255 // max(1, int(spread.max()))
        return cls(tables, least.sum(axis=0), spread, flush, padding)


def _codes(layout: Levels) -> dict[int, list[int]]:
    """The codes of the fields of every byte that levels take."""
    packed, lattice = layout.packing, layout.lattice
    return {
        _byte(packed, list(levels_of)): [lattice.low + lattice.step * level for level in levels_of]
        for levels_of in product(range(lattice.count), repeat=packed.fields)
    }


def table_indices(book: CodeBook, codes: Integers, layout: Levels, taps: int) -> Bytes:
    """Where weights [O, pixels, channels] look up, uint8 [O, taps, groups]."""
    outputs, pixels, channels = codes.shape
    run = layout.packing.run(channels)
    digits = book.digits(codes).reshape(outputs, pixels * channels // run, run)
    missing = -run % layout.packing.fields
    flat = np.pad(digits, ((0, 0), (0, 0), (0, missing))).reshape(outputs, taps, -1)
    flat = np.pad(flat, ((0, 0), (0, 0), (0, -flat.shape[2] % book.per_group)))
    places = 1 << book.digit_bits * np.arange(book.per_group)
    groups = flat.reshape(*flat.shape[:2], -1, book.per_group)
    return (groups @ places).astype(np.uint8)


def pack_weights(indices: Bytes, tile: LookupTile) -> Bytes:
    """Indices [O, taps, groups] as the tile reads them, uint8 [tiles, bytes of a tile]."""
    indices = np.pad(indices, ((0, -len(indices) % tile.outputs), (0, 0), (0, 0)))
    if tile.packed == 2:
        indices = np.pad(indices, ((0, 0), (0, 0), (0, indices.shape[2] % 2)))
        indices = (indices[..., 0::2] | indices[..., 1::2] << 4).astype(np.uint8)
    tiles = indices.reshape(-1, tile.outputs, *indices.shape[1:]).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(tiles).reshape(len(tiles), -1)
