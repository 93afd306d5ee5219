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


def choose(node: Convolution, lattice: Lattice, channels: int) -> Choice | None:
    """The kernel for a layer whose input has `channels` channels on `lattice`; None: there is none.

    Lookups where weights have up to four values and levels up to four bits, else products of bytes.
    """
    pad = node.pad_code if any(node.pads) else None
    held = lattice.holding(pad)
    magnitude = max(abs(held.low), abs(held.high))
    values = sorted({int(v) for plane in node.weights.planes for v in np.unique(plane.codes)})
    if len(values) <= 4 and node.groups == 1:
        book = CodeBook(tuple(values))
        layout = levels(book, lattice, pad, channels)
        group = book.per_group * max(map(abs, values)) * magnitude
        if layout is not None and _whole_groups(node, book) and group <= SHORTS.high:
            bank = Bank.of(book, layout, channels, node.pad_code)
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


def reached(segment: Segment, magnitude: int) -> int:
    """Largest magnitude of the segment's sum without its multiplier, of codes up to `magnitude`."""
    sums: Integers = np.abs(segment.codes).sum(axis=(1, 2))
    return int(sums.max()) * magnitude


def _whole_groups(node: Convolution, book: CodeBook) -> bool:
    """Whether no segment ends within a group."""
    pieces = segments(node, 0)
    channels = node.weights.shape[1]
    return all(
        piece.codes.shape[2] == channels or piece.codes.shape[2] % book.per_group == 0
        for piece in pieces
    )
