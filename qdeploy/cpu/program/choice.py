# SPDX-License-Identifier: Apache-2.0
"""Which kernel computes a matrix layer, and the layout in which that kernel reads its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.program.layouts import Border, Lattice, Levels
from qdeploy.cpu.program.lookups import Bank, CodeBook, levels
from qdeploy.cpu.program.segments import Segment, segments
from qdeploy.integer import Convolution, Integers, Plane, Weights


@dataclass(frozen=True)
class Choice:
    """How a layer is computed.

    Attributes:
        layout: of its input.
        book: of its weights for lookups, None for products.
        reason: for people.
    """

    layout: Levels
    book: CodeBook | None
    reason: str


def choose(node: Convolution, lattice: Lattice, channels: int) -> Choice | None:
    """The kernel for a layer whose input has `channels` channels on `lattice`; None: there is none.

    Lookups where weights have up to four values and levels up to four bits, else products of bytes.
    """
    border: Border = node.pads
    pad = node.pad_code if any(border) else None
    values = sorted({int(v) for plane in node.weights.planes for v in np.unique(plane.codes)})
    if len(values) <= 4 and node.groups == 1:
        book = CodeBook(tuple(values))
        layout = levels(book, lattice, pad, channels)
        if layout is not None and _whole_groups(node, book):
            bank = Bank.of(book, layout, channels)
            if bank is not None:
                layout = Levels(layout.packing, layout.lattice, layout.pad, border)
                return Choice(
                    layout, book, f"{len(values)} weight values, {lattice.bits}-bit levels"
                )
    fine = Lattice.holding(
        lattice.low, lattice.low + lattice.step * (lattice.count - 1), lattice.step, pad
    )
    if fine.count > 256:
        return None
    level = 0 if pad is None else fine.level(pad)
    layout = Levels(Packing(1, 8), fine, (level, level), border)
    reason = f"{len(values)} weight values" if len(values) > 4 else f"{lattice.bits}-bit levels"
    return Choice(layout, None, reason)


def with_unit_kernel(weights: Weights, shape: tuple[int, ...]) -> Weights | None:
    """Weights [O, C·H·W] of a fully connected layer as [O, C, H, W]; None if scales forbid it."""
    channels, height, width = shape
    planes = []
    for plane in weights.planes:
        rows, groups = plane.multipliers.reshape(plane.multipliers.shape[0], -1).shape
        if groups > 1 and height * width > 1:
            return None
        multipliers = plane.multipliers.reshape(rows, groups, 1, 1)
        codes = plane.codes.reshape(len(plane.codes), channels, height, width)
        planes.append(Plane(codes, multipliers))
    return Weights(tuple(planes))


def reached(segment: Segment, lattice: Lattice) -> int:
    """Largest magnitude that the segment's sum can take, without its multiplier."""
    last = lattice.low + lattice.step * (lattice.count - 1)
    largest = max(abs(lattice.low), abs(last))
    sums: Integers = np.abs(segment.codes).sum(axis=(1, 2))
    return int(sums.max()) * largest


def _whole_groups(node: Convolution, book: CodeBook) -> bool:
    """Whether no segment ends within a group."""
    pieces = segments(node, 0)
    channels = node.weights.shape[1]
    return all(
        piece.codes.shape[2] == channels or piece.codes.shape[2] % book.per_group == 0
        for piece in pieces
    )
