# SPDX-License-Identifier: Apache-2.0
"""The constants of matrix layers: weights in the kernel's order, tables, thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.kernels.multiply import MultiplyTile
from qdeploy.cpu.kernels.scaling import pair_multipliers
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.kernels.window import Window
from qdeploy.cpu.program.choice import Choice
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.finishing import fits, plan_finish
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.level_steps import LevelSteps
from qdeploy.cpu.program.lookups import pack_weights, table_indices
from qdeploy.cpu.program.matrix import Matrix, Piece
from qdeploy.cpu.program.segments import Segment, digits, segments
from qdeploy.cpu.program.short_sums import (
    MOST_SPREAD,
    beginning,
    least_and_spread,
    short_segments,
)
from qdeploy.cpu.program.tiles import Tile, blocks, sums_of
from qdeploy.integer import Convolution, Integers, Plane, ValueRange, Weights

# Rows of a tile where images are the rows.
_IMAGES_LOOKED_UP, _IMAGES_MULTIPLIED = 2, 4
_SHORT_SEGMENT = 64  # activations; shorter ones are copied behind each other
_BYTES, _SHORTS = (-128, 127), (-(1 << 15), (1 << 15) - 1)


@dataclass(frozen=True, eq=False)
class _Sum:
    """How sums are computed; `shift` int64 [O] is what is missing in them."""

    tile: Tile
    pieces: tuple[Piece, ...]
    wide: bool
    shift: Integers
    pairs: bool = False
    window: Window | None = None


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
        single = y.height * y.width == 1
        planned = segments(node, group)
        if choice.tables is not None:
            pixels = _IMAGES_LOOKED_UP if single else y.width
            planned_sum = self._lookups(choice, planned, x, y, node.strides[1], pixels)
        else:
            pixels = _IMAGES_MULTIPLIED if single else y.width
            planned_sum = self._products(choice, _merged(node, group, planned), x, pixels)
        shift = planned_sum.shift
        layout = sums_of(planned_sum.tile, wide=planned_sum.wide, pairs=planned_sum.pairs)
        if not layout.short and not fits(layout, shift, sums):
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
            window=planned_sum.window,
            pieces=planned_sum.pieces,
            wide=planned_sum.wide,
            pairs=planned_sum.pairs,
            finish=plan_finish(self.constants, layout, shift, steps),
        )

    def _lookups(
        self,
        choice: Choice,
        planned: tuple[Segment, ...],
        x: Buffer,
        y: Buffer,
        strides: int,
        pixels: int,
    ) -> _Sum:
        layout, outputs = choice.layout, len(planned[0].codes)
        assert choice.tables is not None
        book, bank = choice.tables
        rows, vectors = blocks(outputs, pixels, self.target, 1)
        lanes = min(self.target.vector_bytes, max(16, 1 << (outputs - 1).bit_length()))
        packing, entries = layout.packing, 1 << book.index_bits
        group_bytes = book.per_group // packing.fields
        wide = any(segment.scaled for segment in planned)
        spread = np.sum([least_and_spread(choice, segment, x)[1] for segment in planned], axis=0)
        wide |= int(spread.max()) > MOST_SPREAD
        if wide:
            planned = tuple(
                part for segment in planned for part in short_segments(segment, choice, x)
            )
        taps = self._taps(planned, y, strides, bank.flush, vectors)
        tile = LookupTile(rows, vectors, lanes, group_bytes, bank.flush, taps, entries)
        tables = self.constants.add(bank.tables)
        pieces, offsets = [], [least_and_spread(choice, segment, x) for segment in planned]
        if not wide:
            offsets = [(np.sum([least for least, _ in offsets], axis=0), spread)]
        starts = [beginning(*part) for part in offsets]
        shift = np.zeros(outputs, np.int64)
        for segment, (least, _), start in zip(planned, offsets, starts, strict=False):
            shift += (segment.multipliers if wide else 1) * (least - start)
        for k, segment in enumerate(planned):
            _, width, channels = segment.codes.shape
            length = -(-packing.bytes(channels) // group_bytes)
            piece = self._piece(segment, x, tile, length * width // taps, wide=wide)
            indices = table_indices(book, segment.codes, layout, taps)
            weights = pack_weights(indices, tile)
            pieces.append(
                replace(
                    piece,
                    weights=self.constants.add(weights),
                    weight_bytes=weights.shape[1],
                    banks=tables,
                    start=starts[k] if wide or k == 0 else 0,
                )
            )
        factors = [segment.multipliers for segment in planned]
        low, high = _SHORTS
        fit = all(low <= values.min() and values.max() <= high for values in factors)
        pairs = wide and fit and self.target.products != "widening"
        if pairs:
            pieces = self._in_pairs(pieces, factors, tile)
        return _Sum(tile, tuple(pieces), wide, shift, pairs)

    def _in_pairs(
        self, pieces: list[Piece], factors: list[Integers], tile: LookupTile
    ) -> list[Piece]:
        """The pieces with the multipliers of every two at the first of them."""
        sums = sums_of(tile, wide=False)
        ready = list(pieces)
        for k in range(0, len(pieces), 2):
            both = [*factors[k : k + 2], np.zeros(1, np.int64)][:2]
            count = max(len(values) for values in both)
            padding = -count % tile.outputs if count > 1 else 0
            first, second = (np.pad(np.broadcast_to(v, (count,)), (0, padding)) for v in both)
            multipliers = pair_multipliers(first, second, sums)
            place = self.constants.add(np.frombuffer(multipliers, np.uint8))
            ready[k] = replace(pieces[k], multipliers=place, per_output=count > 1)
        return ready

    def _taps(
        self, planned: tuple[Segment, ...], y: Buffer, stride: int, flush: int, vectors: int
    ) -> int:
        """Pixels of a segment that neighbouring outputs share; 1 if they share none."""
        widths = {segment.codes.shape[1] for segment in planned}
        width = max(widths)
        shared = len(widths) == 1 and stride == 1 and y.width > 1
        fits = width <= flush and width * vectors <= 8 and self.target.registers > 16
        return width if shared and fits else 1

    def _products(
        self, choice: Choice, planned: tuple[Segment, ...], x: Buffer, pixels: int
    ) -> _Sum:
        lattice, products = choice.layout.lattice, self.target.products
        outputs, level = len(planned[0].codes), max(1, lattice.count - 1)
        together = 2 if products == "pairs" else 1
        smallest, largest = _BYTES
        if products != "dot":
            smallest = max(smallest, -(32768 // (together * level)))
            largest = min(largest, 32767 // (together * level))
        window = _window(planned, x, smallest, largest)
        if window is not None:
            codes = np.concatenate([s.codes.reshape(outputs, 1, -1) for s in planned], axis=2)
            planned = (replace(planned[0], codes=codes),)
            if window.short:
                smallest, largest = _SHORTS
        shift = np.zeros(outputs, np.int64)
        for segment in planned:
            shift += segment.multipliers * lattice.low * segment.codes.sum(axis=(1, 2))
        planned = tuple(
            replace(part, multipliers=part.multipliers * lattice.step)
            for segment in planned
            for part in digits(segment, smallest, largest)
        )
        most = max(int(np.abs(segment.codes).max(initial=1)) for segment in planned)
        short = window is not None and window.short
        per_output = (2 if short else 1) if products == "widening" else 4
        rows, vectors = blocks(outputs, pixels, self.target, per_output)
        flush = max(1, 32767 // (together * level * most))
        tile = MultiplyTile(rows, vectors, self.target.vector_bytes, products, flush, short)
        wide = any(segment.scaled for segment in planned)
        pieces = []
        for segment in planned:
            weights = _product_weights(segment, tile)
            length = -(-segment.codes[0].size // tile.step)
            piece = self._piece(segment, x, tile, length, wide=wide)
            if window is not None:
                piece = replace(piece, offset=0)
            place = self.constants.add(weights)
            pieces.append(replace(piece, weights=place, weight_bytes=weights.shape[1]))
        return _Sum(tile, tuple(pieces), wide, shift, window=window)

    def _piece(self, segment: Segment, x: Buffer, tile: Tile, length: int, *, wide: bool) -> Piece:
        """The piece without its weights."""
        assert isinstance(x.layout, Levels)
        offset = segment.row * x.row_bytes + segment.column * x.pixel_bytes
        per_output = len(segment.multipliers) > 1
        multipliers = segment.multipliers.astype(np.int32)  # sums are modulo 2^32
        if per_output:
            multipliers = np.pad(multipliers, (0, -len(multipliers) % tile.outputs))
        return Piece(
            offset=offset + x.layout.packing.bytes(segment.channel),
            length=length,
            multipliers=self.constants.add(multipliers) if wide else None,
            per_output=per_output,
        )


def _merged(node: Convolution, group: int, planned: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Short segments with their multipliers in the weights, where these then fit 16 bits."""
    longest = max(segment.codes[0].size for segment in planned)
    merged = node.weights.integers()
    low, high = _SHORTS
    unscaled = not any(segment.scaled for segment in planned)
    if unscaled or longest >= _SHORT_SEGMENT or merged.min() < low or merged.max() > high:
        return planned
    plane = Plane(merged.astype(np.int32), np.ones((1, 1, 1, 1), np.int64))
    return segments(replace(node, weights=Weights((plane,))), group)


def _window(planned: tuple[Segment, ...], x: Buffer, smallest: int, largest: int) -> Window | None:
    """How short segments are copied; as 16 bits where weights are not in the range given."""
    longest = max(segment.codes[0].size for segment in planned)
    scaled = any(segment.scaled for segment in planned)
    if len(planned) == 1 or scaled or longest >= _SHORT_SEGMENT:
        return None
    low = min(int(segment.codes.min()) for segment in planned)
    high = max(int(segment.codes.max()) for segment in planned)
    pieces = tuple(
        (s.row * x.row_bytes + s.column * x.pixel_bytes + s.channel, s.codes[0].size)
        for s in planned
    )
    return Window(pieces, short=low < smallest or high > largest)


def _product_weights(segment: Segment, tile: MultiplyTile) -> NDArray[np.uint8]:
    """Weights as the tile reads them, uint8 [tiles, bytes of a tile]."""
    outputs = len(segment.codes)
    flat = segment.codes.reshape(outputs, -1)
    flat = np.pad(flat, ((0, -outputs % tile.outputs), (0, -flat.shape[1] % tile.step)))
    tiles = flat.reshape(-1, tile.outputs, flat.shape[1] // tile.step, tile.step)
    kind = np.int16 if tile.short else np.int8
    ordered = np.ascontiguousarray(tiles.transpose(0, 2, 1, 3).astype(kind))
    return ordered.reshape(len(tiles), -1).view(np.uint8)
