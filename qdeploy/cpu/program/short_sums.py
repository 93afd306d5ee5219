# SPDX-License-Identifier: Apache-2.0
"""Sums of table lookups in 16 bits: what they begin with, and which segments they hold."""

from __future__ import annotations

from qdeploy.cpu.program.choice import Choice, least_channels
from qdeploy.cpu.program.finishing import SHORTS
from qdeploy.cpu.program.layouts import Buffer
from qdeploy.cpu.program.lookups import table_indices
from qdeploy.cpu.program.segments import Segment, parts
from qdeploy.integer import Integers

MOST_SPREAD = SHORTS.high - SHORTS.low


def least_and_spread(choice: Choice, segment: Segment, x: Buffer) -> tuple[Integers, Integers]:
    """The least sum of the segment for each output, int64 [O], and how far sums reach above it."""
    assert choice.tables is not None
    book, bank = choice.tables
    packing = choice.layout.packing
    _, width, channels = segment.codes.shape
    runs = max(int(segment.channel + channels == x.channels), channels // packing.run(x.channels))
    indices = table_indices(book, segment.codes, choice.layout, 1)
    least = bank.least[indices].sum(axis=(1, 2)) - width * bank.padding * runs
    return least, bank.spread[indices].sum(axis=(1, 2))


def beginning(least: Integers, spread: Integers) -> int:
    """What sums of 16 bits begin with, so that they fit and little is missing in them."""
    middle = (int(least.min()) + int(least.max())) // 2
    return max(SHORTS.low, min(middle, SHORTS.high - int(spread.max())))


def short_segments(segment: Segment, choice: Choice, x: Buffer) -> tuple[Segment, ...]:
    """The segment in pieces whose sums fit 16 bits."""
    assert choice.tables is not None
    book, _ = choice.tables
    pieces: tuple[Segment, ...] = (segment,)
    channels, unit = segment.codes.shape[2], least_channels(book, choice.layout.packing)
    while any(least_and_spread(choice, piece, x)[1].max() > MOST_SPREAD for piece in pieces):
        pieces = tuple(parts(segment, channels))
        channels = -(-channels // (2 * unit)) * unit
    return pieces
