# SPDX-License-Identifier: Apache-2.0
"""Which kernel computes a matrix layer, and the layout in which that kernel reads its input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.program.layouts import Lattice, Levels
from qdeploy.cpu.program.lookups import Bank, CodeBook, levels
from qdeploy.cpu.program.segments import segments
from qdeploy.integer import Convolution

_FEW_OUTPUTS = 16  # fill a part of a register only


@dataclass(frozen=True)
class Choice:
    """How a layer is computed.

    Attributes:
        layout: of its input.
        tables: for lookups; None for products.
        reason: for people.
    """

    layout: Levels
    tables: tuple[CodeBook, Bank] | None
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
    at once, and many pixels share the weights, products are faster for few outputs.
    """
    pad = node.pad_code if any(node.pads) else None
    held = lattice.holding(pad)
    values = sorted({int(v) for plane in node.weights.planes for v in np.unique(plane.codes)})
    outputs = len(node.weights.planes[0].codes)
    slower = multiplies and outputs <= _FEW_OUTPUTS and len(values) > 2 and held.count <= 256
    for index_bits in _index_bits(entries, outputs) if node.groups == 1 and not slower else ():
        book = CodeBook(tuple(values), index_bits)
        if book.per_group < 2:
            continue
        layout = levels(book, lattice, pad, channels)
        if layout is None:
            continue
        unit = least_channels(book, layout.packing)
        if _whole_groups(node, unit):
            bank = Bank.of(book, layout, channels, node.pad_code)
            if bank is not None:
                layout = replace(layout, border=node.pads)
                reason = f"{len(values)} weight values, {lattice.bits}-bit levels"
                return Choice(layout, (book, bank), reason)
    if held.count > 256:
        return None
    level = 0 if pad is None else held.level(pad)
    layout = Levels(Packing(1, 8), held, (level, level), node.pads)
    reason = f"{len(values)} weight values" if len(values) > 4 else f"{lattice.bits}-bit levels"
    return Choice(layout, None, reason)


def _index_bits(entries: int, outputs: int) -> tuple[int, ...]:
    """Of indices into tables, the best first; large tables want registers full of outputs."""
    return (6, 4) if entries == 64 and outputs > 32 else (4,)


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
