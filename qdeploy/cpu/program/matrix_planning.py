# SPDX-License-Identifier: Apache-2.0
"""The constants of matrix layers: weights in the kernel's order, tables, thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.kernels.multiply import MultiplyTile
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.choice import Choice, reached
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.finishing import SHORTS, fits, plan_finish
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.level_steps import LevelSteps
from qdeploy.cpu.program.lookups import pack_weights
from qdeploy.cpu.program.matrix import Matrix, Piece, Tile, blocks, sums_of
from qdeploy.cpu.program.segments import Segment, digits, parts, segments
from qdeploy.integer import Convolution, Integers, ValueRange

_IMAGES = 4  # rows of a tile where images are the rows


@dataclass(frozen=True, eq=False)
class _Sum:
    """How sums are computed; `shift` int64 [O] is what is missing in them."""

    tile: Tile
    pieces: tuple[Piece, ...]
    wide: bool
    shift: Integers


@dataclass(frozen=True, eq=False)
class MatrixPlanner:
    """Plans the layers of a network for one target.

    Attributes:
        constants: where their constants go.
        target: the processor.
    """

    constants: Constants
    target: Target

    def plan(
        self,
        node: Convolution,
        group: int,
        choice: Choice,
        x: Buffer,
        y: Buffer,
        sums: ValueRange,
        steps: LevelSteps | None,
    ) -> Matrix | None:
        """One group of channels of a layer; None if its sums do not fit int32.

        Args:
            node: the layer.
            group: of its channels.
            choice: of the kernel.
            x: what is read.
            y: what is written.
            sums: range of the layer's sums.
            steps: what becomes of the sums, None where they are written as they are.
        """
        outputs = node.weights.shape[0] // node.groups
        pixels = y.width if y.height * y.width > 1 else _IMAGES
        planned = segments(node, group)
        if choice.tables is not None:
            planned_sum = self._lookups(choice, planned, x, pixels, sums)
        else:
            planned_sum = self._products(choice, planned, x, pixels)
        shift = planned_sum.shift
        layout = sums_of(planned_sum.tile, wide=planned_sum.wide)
        if not fits(layout, shift, sums):
            return None
        rows = slice(group * outputs, (group + 1) * outputs)
        if steps is not None:
            steps = steps.of(rows)
        elif isinstance(y.layout, Levels):
            assert y.layout.lattice.step == 1
            shift = shift - y.layout.lattice.low
        return Matrix(
            name=f"{node.name}_{group}",
            layer=node.name,
            reason=choice.reason,
            x=x,
            y=y,
            channel=group * outputs,
            outputs=outputs,
            inputs=sum(segment.codes[0].size for segment in planned),
            strides=node.strides,
            origin=(-node.pads[0], -node.pads[1]),
            tile=planned_sum.tile,
            pieces=planned_sum.pieces,
            wide=planned_sum.wide,
            finish=plan_finish(self.constants, layout, shift, steps),
        )

    def _lookups(
        self,
        choice: Choice,
        planned: tuple[Segment, ...],
        x: Buffer,
        pixels: int,
        sums: ValueRange,
    ) -> _Sum:
        layout, outputs = choice.layout, len(planned[0].codes)
        assert choice.tables is not None
        book, bank = choice.tables
        rows, vectors = blocks(outputs, pixels, self.target, 1)
        lanes = min(self.target.vector_bytes, max(16, 1 << (outputs - 1).bit_length()))
        group_bytes = book.per_group // layout.packing.fields
        tile = LookupTile(rows, vectors, lanes, group_bytes, bank.flush)
        wide = any(segment.scaled for segment in planned)
        wide |= not (SHORTS.low <= sums.low and sums.high <= SHORTS.high)
        if wide:
            planned = tuple(part for segment in planned for part in _short(segment, choice))
        tables = self.constants.add(bank.tables)
        pieces = []
        for segment in planned:
            _, width, channels = segment.codes.shape
            length = -(-channels // book.per_group) * width
            ends = segment.channel + channels == x.channels
            piece = self._piece(segment, x, tile, length, wide=wide)
            weights = pack_weights(book, segment.codes, layout, tile)
            pieces.append(
                replace(
                    piece,
                    weights=self.constants.add(weights),
                    weight_bytes=weights.shape[1],
                    banks=tables,
                    start=-(length * bank.bias + width * bank.padding * ends),
                )
            )
        if not wide:
            pieces[0] = replace(pieces[0], start=sum(piece.start for piece in pieces))
        return _Sum(tile, tuple(pieces), wide, np.zeros(outputs, np.int64))

    def _products(
        self, choice: Choice, planned: tuple[Segment, ...], x: Buffer, pixels: int
    ) -> _Sum:
        lattice, products = choice.layout.lattice, self.target.products
        outputs, level = len(planned[0].codes), max(1, lattice.count - 1)
        together = 2 if products == "pairs" else 1
        smallest, largest = -128, 127
        if products != "dot":
            smallest = max(smallest, -(32768 // (together * level)))
            largest = min(largest, 32767 // (together * level))
        shift = np.zeros(outputs, np.int64)
        for segment in planned:
            shift += segment.multipliers * lattice.low * segment.codes.sum(axis=(1, 2))
        planned = tuple(
            replace(part, multipliers=part.multipliers * lattice.step)
            for segment in planned
            for part in digits(segment, smallest, largest)
        )
        most = max(int(np.abs(segment.codes).max(initial=1)) for segment in planned)
        rows, vectors = blocks(outputs, pixels, self.target, 1 if products == "widening" else 4)
        flush = max(1, 32767 // (together * level * most))
        tile = MultiplyTile(rows, vectors, self.target.vector_bytes, products, flush)
        wide = any(segment.scaled for segment in planned)
        pieces = []
        for segment in planned:
            weights = _byte_weights(segment, tile)
            length = -(-segment.codes[0].size // tile.step)
            piece = self._piece(segment, x, tile, length, wide=wide)
            place = self.constants.add(weights)
            pieces.append(replace(piece, weights=place, weight_bytes=weights.shape[1]))
        return _Sum(tile, tuple(pieces), wide, shift)

    def _piece(self, segment: Segment, x: Buffer, tile: Tile, length: int, *, wide: bool) -> Piece:
        """The piece without its weights."""
        assert isinstance(x.layout, Levels)
        offset = segment.row * x.row_bytes + segment.column * x.pixel_bytes
        per_output = len(segment.multipliers) > 1
        multipliers = segment.multipliers.astype(np.int32)  # sums are modulo 2^32
        if per_output:
            multipliers = np.pad(multipliers, (0, -len(multipliers) % tile.outputs))
        return Piece(
            offset=offset + segment.channel // x.layout.packing.fields,
            length=length,
            multipliers=self.constants.add(multipliers) if wide else None,
            per_output=per_output,
        )


def _short(segment: Segment, choice: Choice) -> tuple[Segment, ...]:
    """The segment in pieces whose sums fit 16 bits."""
    assert choice.tables is not None
    book, _ = choice.tables
    if reached(segment, choice.magnitude) <= SHORTS.high:
        return (segment,)
    channels = segment.codes.shape[2]
    while True:
        pieces = tuple(parts(segment, channels))
        if all(reached(piece, choice.magnitude) <= SHORTS.high for piece in pieces):
            return pieces
        channels = -(-channels // (2 * book.per_group)) * book.per_group


def _byte_weights(segment: Segment, tile: MultiplyTile) -> NDArray[np.int8]:
    """Weights as the tile reads them, int8 [tiles, bytes of a tile]."""
    outputs = len(segment.codes)
    flat = segment.codes.reshape(outputs, -1)
    flat = np.pad(flat, ((0, -outputs % tile.outputs), (0, -flat.shape[1] % tile.step)))
    tiles = flat.reshape(-1, tile.outputs, flat.shape[1] // tile.step, tile.step)
    ordered = np.ascontiguousarray(tiles.transpose(0, 2, 1, 3).astype(np.int8))
    return ordered.reshape(len(tiles), -1)
