# SPDX-License-Identifier: Apache-2.0
"""Which kernel computes a matrix layer, and the layout in which that kernel reads its input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.program.finishing import SHORTS
from qdeploy.cpu.program.layouts import Lattice, Levels
from qdeploy.cpu.program.lookups import Bank, CodeBook, levels
from qdeploy.cpu.program.segments import Segment, segments
from qdeploy.integer import Convolution, Integers

SHORT_SEGMENT = 64  # activations; shorter ones are copied behind each other for products
_FEW_OUTPUTS = 16
_FEW_WEIGHTS = 4  # of which sums are added in a byte


@dataclass(frozen=True)
class Choice:
    """How a layer is computed.

    Attributes:
        layout: of its input.
        tables: for lookups; None for products.
        magnitude: of the largest code that is read.
        reason: for people.
    """

    layout: Levels
    tables: tuple[CodeBook, Bank] | None
    magnitude: int
    reason: str


def choose(
    node: Convolution,
    lattice: Lattice,
    channels: int,
    entries: int = 16,
    *,
    multiplies: bool = False,
) -> Choice | None:
    """The kernel for a layer whose input has `channels` channels on `lattice`; None: there is none.

    Lookups where tables hold two weights or more and levels have up to four bits, else products of
    bytes. Tables have 16 entries, or up to `entries`. If the processor `multiplies` several bytes
    at once, and many pixels share the weights, lookups are left where they are slower.
    """
    pad = node.pad_code if any(node.pads) else None
    held = lattice.holding(pad)
    magnitude = max(abs(held.low), abs(held.high))
    values = sorted({int(v) for plane in node.weights.planes for v in np.unique(plane.codes)})
    outputs = len(node.weights.planes[0].codes)
    for index_bits in _index_bits(entries, outputs) if node.groups == 1 else ():
        book = CodeBook(tuple(values), index_bits)
        if book.per_group < 2:
            continue
        layout = levels(book, lattice, pad, channels)
        if layout is None:
            continue
        unit = least_channels(book, layout.packing)
        smallest = unit * max(map(abs, values)) * magnitude
        if _whole_groups(node, unit) and smallest <= SHORTS.high:
            bank = Bank.of(book, layout, channels, node.pad_code)
            if multiplies and bank is not None and _slower(node, values, book, bank):
                break
            if bank is not None:
                layout = replace(layout, border=node.pads)
                reason = f"{len(values)} weight values, {lattice.bits}-bit levels"
                return Choice(layout, (book, bank), magnitude, reason)
    if held.count > 256:
        return None
    level = 0 if pad is None else held.level(pad)
    layout = Levels(Packing(1, 8), held, (level, level), node.pads)
    reason = f"{len(values)} weight values" if len(values) > 4 else f"{lattice.bits}-bit levels"
    return Choice(layout, None, magnitude, reason)


def _slower(node: Convolution, values: list[int], book: CodeBook, bank: Bank) -> bool:
    """Whether lookups fill a part of a register only, or have to widen their sums too often.

    But short segments with scales would become products of 16 bits.
    """
    if len(node.weights.planes[0].codes) <= _FEW_OUTPUTS:
        return len(values) > 2
    pieces = segments(node, 0)
    short = max(piece.codes[0].size for piece in pieces) < SHORT_SEGMENT
    if short and any(piece.scaled for piece in pieces):
        return False
    return bank.flush * book.per_group <= _FEW_WEIGHTS


def _index_bits(entries: int, outputs: int) -> tuple[int, ...]:
    """Of indices into tables, the best first; large tables want registers full of outputs."""
    return (6, 4) if entries == 64 and outputs > 32 else (4,)


def reached(segment: Segment, magnitude: int) -> int:
    """Largest magnitude of the segment's sum without its multiplier, of codes up to `magnitude`."""
    sums: Integers = np.abs(segment.codes).sum(axis=(1, 2))
    return int(sums.max()) * magnitude


def least_channels(book: CodeBook, packing: Packing) -> int:
    """Channels that segments are made of: whole bytes and whole groups."""
    return max(packing.block, book.per_group)


def _whole_groups(node: Convolution, unit: int) -> bool:
    """Whether no segment ends within a group."""
    pieces = segments(node, 0)
    channels = node.weights.shape[1]
    return all(
        piece.codes.shape[2] == channels or piece.codes.shape[2] % unit == 0 for piece in pieces
    )
