# SPDX-License-Identifier: Apache-2.0
"""How the fast form keeps tensors in memory.

A buffer holds one image: rows of pixels with their channels innermost, and a border of padding
around them that is written once. Codes are kept as levels: code = low + step · level, 0 <= level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from qdeploy.cpu.kernels.finish import Packing

Border = tuple[int, int, int, int]  # top, left, bottom, right
NO_BORDER: Border = (0, 0, 0, 0)


def wider(a: Border, b: Border) -> Border:
    """The border that holds both."""
    return (max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


@dataclass(frozen=True)
class Lattice:
    """Codes low, low + step, ... low + step · (count - 1)."""

    low: int
    step: int
    count: int

    @property
    def high(self) -> int:
        """The largest code."""
        return self.low + self.step * (self.count - 1)

    @property
    def spacing(self) -> int:
        """Distance of neighbouring codes, 0 of a single one."""
        return self.step if self.count > 1 else 0

    def including(self, other: Lattice) -> Lattice:
        """The smallest lattice with the codes of both."""
        step = gcd(self.low - other.low, self.spacing, other.spacing) or 1
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Lattice(low, step, (high - low) // step + 1)

    def holding(self, code: int | None) -> Lattice:
        """The smallest lattice that also has `code`; None adds nothing."""
        return self if code is None else self.including(Lattice(code, 1, 1))

    @property
    def bits(self) -> int:
        """Bits of a level."""
        return max(1, (self.count - 1).bit_length())

    def level(self, code: int) -> int:
        """The level of `code`."""
        level, rest = divmod(code - self.low, self.step)
        assert rest == 0
        assert 0 <= level < self.count
        return level


@dataclass(frozen=True)
class Levels:
    """Levels, some channels to a byte.

    Attributes:
        packing: of the levels.
        lattice: what they stand for.
        pad: byte of the border, one for the last byte of a pixel (or run) where that differs.
        border: pixels around the image.
    """

    packing: Packing
    lattice: Lattice
    pad: tuple[int, int] = (0, 0)
    border: Border = NO_BORDER

    def pixel_bytes(self, channels: int) -> int:
        """Bytes of a pixel."""
        return self.packing.bytes(channels)


@dataclass(frozen=True)
class Words:
    """The integers themselves, int32; `pad` and `border` as in `Levels`."""

    pad: int = 0
    border: Border = NO_BORDER

    def pixel_bytes(self, channels: int) -> int:
        """Bytes of a pixel."""
        return 4 * channels


Layout = Levels | Words


def bare(layout: Layout) -> Layout:
    """The layout without its border."""
    if isinstance(layout, Words):
        return Words()
    return replace(layout, pad=(0, 0), border=NO_BORDER)


def with_both_borders(a: Layout, b: Layout) -> Layout | None:
    """One layout that serves readers of `a` and of `b`, if there is one."""
    if bare(a) != bare(b) or (NO_BORDER not in (a.border, b.border) and a.pad != b.pad):
        return None
    return replace(b if a.border == NO_BORDER else a, border=wider(a.border, b.border))


def serves(present: Layout, wanted: Layout) -> bool:
    """Whether a reader of `wanted` can read `present`."""
    if wanted.border == NO_BORDER:
        return bare(present) == bare(wanted)
    return with_both_borders(present, wanted) == present


@dataclass(frozen=True)
class Buffer:
    """A tensor of one image in one layout.

    Attributes:
        channels, height, width: of the image; a vector is one pixel.
        layout: of its pixels.
        offset: in the arena, bytes.
    """

    channels: int
    height: int
    width: int
    layout: Layout
    offset: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel."""
        return self.layout.pixel_bytes(self.channels)

    @property
    def row_bytes(self) -> int:
        """Bytes from row to row."""
        _, left, _, right = self.layout.border
        return (left + self.width + right) * self.pixel_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the image with its border."""
        top, _, bottom, _ = self.layout.border
        return (top + self.height + bottom) * self.row_bytes

    def at(self, row: int = 0, column: int = 0) -> int:
        """Offset in the arena of a pixel of the image; border pixels are beyond 0 and the size."""
        top, left, _, _ = self.layout.border
        pixel = (row + top) * self.row_bytes + (column + left) * self.pixel_bytes
        return self.offset + pixel
