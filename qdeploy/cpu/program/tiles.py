# SPDX-License-Identifier: Apache-2.0
"""How many sums a kernel computes at once."""

from __future__ import annotations

from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.kernels.multiply import MultiplyTile
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.cpu.kernels.targets import Target

Tile = LookupTile | MultiplyTile


def sums_of(tile: Tile, *, wide: bool, pairs: bool = False) -> Sums:
    """Layout of the sums that a tile leaves, or of wide ones added up from them (or from pairs)."""
    short = isinstance(tile, LookupTile) and not wide
    return Sums(tile.vectors, tile.outputs // tile.vectors, short, pairs)


def blocks(outputs: int, rows: int, target: Target, lanes_per_byte: int) -> tuple[int, int]:
    """Rows and registers of a tile for `outputs` outputs and `rows` neighbouring pixels.

    As many sums as registers leave room for; as few rounds as possible over the pixels.
    """
    per_vector = target.vector_bytes // lanes_per_byte
    many = rows <= 2 or (lanes_per_byte > 1 and target.registers > 16)
    vectors = min(4 if many else 2, -(-outputs // per_vector))
    most = (target.registers - 6 if lanes_per_byte > 1 else target.registers // 2) // vectors
    if target.registers > 16 and lanes_per_byte == 1:
        most = max(1, 8 // vectors)
    rounds = -(-rows // most)
    return max(1, -(-rows // rounds)), vectors
