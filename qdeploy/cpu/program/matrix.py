# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers: which kernel, in which pieces, with which constants."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, POINTER, SHORT, WORD, Code, Value, splat
from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.kernels.scaling import emit_widen, emit_widen_pair
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.kernels.window import Window
from qdeploy.cpu.program.finishing import Finish, emit_finish
from qdeploy.cpu.program.layouts import Buffer
from qdeploy.cpu.program.tiles import Tile, sums_of


@dataclass(frozen=True)
class Piece:
    """A segment with its constants.

    Attributes:
        offset: of its activations from those of the output pixel, bytes.
        length: groups (lookups) or steps (products).
        multipliers: offset of its multipliers, or None for 1.
        per_output: whether every output has its own.
        weights: offset of its weights in the constants.
        weight_bytes: of a tile.
        banks: offset of its tables; 0 for products.
        start: what its sums begin with.
    """

    offset: int
    length: int
    multipliers: int | None
    per_output: bool
    weights: int = 0
    weight_bytes: int = 0
    banks: int = 0
    start: int = 0


@dataclass(frozen=True)
class Matrix:
    """A planned layer, or a channel group of one.

    Attributes:
        name: of the function.
        layer: name in the network.
        reason: why this kernel, for people.
        x: what it reads.
        y: what it writes.
        channel: first output channel in `y`.
        outputs: number of output channels.
        inputs: products of an output.
        strides: vertical, horizontal.
        origin: row and column of the first window's first pixel; negative in the border.
        tile: the kernel.
        window: copied first, so that activations of the pieces lie in the copy; None: they do not.
        pieces: the sum.
        wide: whether sums of pieces are added up as int32.
        pairs: whether this is done by twos, with multipliers of 16 bits at the first of two.
        finish: what becomes of the sums.
    """

    name: str
    layer: str
    reason: str
    x: Buffer
    y: Buffer
    channel: int
    outputs: int
    inputs: int
    strides: tuple[int, int]
    origin: tuple[int, int]
    tile: Tile
    window: Window | None
    pieces: tuple[Piece, ...]
    wide: bool
    pairs: bool
    finish: Finish

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        what = "table lookups" if isinstance(self.tile, LookupTile) else "products of bytes"
        rows = "images" if self.single else "pixels"
        return f"{what} ({self.reason}), {self.tile.rows} {rows} x {self.tile.outputs} outputs"

    @property
    def single(self) -> bool:
        """Whether an image has one output pixel, so that images are the rows of a tile."""
        return self.y.height * self.y.width == 1

    @property
    def tiles(self) -> int:
        """Tiles of outputs."""
        return -(-self.outputs // self.tile.outputs)

    @property
    def units(self) -> int:
        """What can be done in parallel: output rows, or tiles if there is one output pixel."""
        return self.tiles if self.single else self.y.height

    @property
    def work(self) -> int:
        """Products."""
        return self.y.height * self.y.width * self.outputs * self.inputs

    @property
    def sums(self) -> Sums:
        """Layout of the sums that are finished."""
        return sums_of(self.tile, wide=self.wide, pairs=self.pairs)

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """layer(constants, arena, images, first unit, end of units)."""
        code = Code(module, f"layer_{self.name}", [POINTER, POINTER, LONG, LONG, LONG])
        _Writer(self, code, target, image_bytes).write()
        return code.function


class _Writer:
    """Writes the function of one layer."""

    def __init__(self, layer: Matrix, code: Code, target: Target, image_bytes: int) -> None:
        self.layer, self.code, self.target = layer, code, target
        self.image_bytes = image_bytes
        self.constants, self.arena, self.images, self.first, self.end = code.arguments
        size = 4 * layer.tile.rows * layer.tile.outputs + 64
        self.sums, self.more, self.totals = (code.memory(size, align=64) for _ in range(3))
        if layer.window is not None:
            self.copy = code.memory(layer.tile.rows * layer.window.row_bytes + 64, align=64)

    def write(self) -> None:
        layer, code = self.layer, self.code
        if layer.single:
            self._over_tiles(self.first, self.end)
        else:
            self._over_tiles(0, layer.tiles)
        code.end()

    def _over_tiles(self, first: Value | int, end: Value | int) -> None:
        """Whole tiles in a loop, a last one with fewer outputs alone."""
        code, build, layer = self.code, self.code.build, self.layer
        whole = layer.outputs // layer.tile.outputs
        if isinstance(end, int):
            last, rest = min(whole, end), end > whole
            with code.loop(last, first) as tile:
                self._over_rows(tile, layer.tile.outputs)
            if rest:
                self._over_rows(code.long(whole), layer.outputs % layer.tile.outputs)
            return
        limit = code.long(whole)
        last = build.select(build.icmp_signed("<", end, limit), end, limit)
        with code.loop(last, first) as tile:
            self._over_rows(tile, layer.tile.outputs)
        if whole < layer.tiles:
            start = build.select(build.icmp_signed(">", first, limit), first, limit)
            with code.loop(end, start) as tile:
                self._over_rows(tile, layer.outputs % layer.tile.outputs)

    def _over_rows(self, tile: Value, outputs: int) -> None:
        code, layer = self.code, self.layer
        x, rows = layer.x, layer.tile.rows
        if layer.single:
            at = code.at(self.arena, x.at(*layer.origin))
            whole, _ = code.divided(self.images, rows)
            with code.loop(whole) as block:
                image = code.scaled(block, rows)
                self._block(tile, outputs, at, self.image_bytes, rows, image, code.long(0), 0)
            with code.loop(self.images, code.scaled(whole, rows)) as image:
                self._block(tile, outputs, at, self.image_bytes, 1, image, code.long(0), 0)
            return
        width = layer.y.width
        stride = layer.strides[1] * x.pixel_bytes
        with code.loop(self.images) as image, code.loop(self.end, self.first) as row:
            at = code.at(self.arena, code.scaled(row, layer.strides[0] * x.row_bytes))
            at = code.at(at, x.at(*layer.origin))
            with code.loop(width // rows) as block:
                self._block(tile, outputs, at, stride, rows, image, row, code.scaled(block, rows))
            if width % rows:
                self._block(
                    tile, outputs, at, stride, width % rows, image, row, width // rows * rows
                )

    def _block(
        self,
        tile: Value,
        outputs: int,
        at: Value,
        stride: int,
        rows: int,
        image: Value,
        row: Value,
        column: Value | int,
    ) -> None:
        """One block of pixels (or of images, from `image` on) and one tile of outputs."""
        code, layer = self.code, self.layer
        kernel = self._resized(rows)
        at = code.at(at, code.scaled(image, self.image_bytes))
        if not layer.single:
            at = code.at(at, code.scaled(column, stride))
        window = layer.window
        if window is not None:
            function = window.emit(code.module)
            code.call(function, [at, code.long(stride), self.copy, code.long(rows)])
            at, stride = self.copy, window.row_bytes
        finished = self.totals if layer.wide else self.sums
        if layer.wide:
            self._clear(self.totals, rows)
        for index, piece in enumerate(layer.pieces):
            second = layer.pairs and index % 2
            sums = self.more if second else self.sums
            fresh = layer.wide or not index
            self._sum(kernel, tile, code.at(at, piece.offset), stride, piece, sums, fresh=fresh)
            if layer.pairs and (second or index == len(layer.pieces) - 1):
                self._widen_pair(tile, layer.pieces[index - index % 2], sums, rows)
            elif layer.wide and not layer.pairs:
                self._widen(tile, piece, rows)
        self._finish(tile, outputs, finished, rows, image, row, column)

    def _resized(self, rows: int) -> Tile:
        return replace(self.layer.tile, rows=rows)

    def _clear(self, sums: Value, rows: int) -> None:
        """Make int32 sums of `rows` rows zero."""
        code, lanes = self.code, self.target.vector_bytes // 4
        for k in range(-(-rows * self.layer.tile.outputs // lanes)):
            code.store(splat(WORD, lanes, 0), sums, 4 * lanes * k)

    def _sum(
        self,
        tile: Tile,
        number: Value,
        at: Value,
        stride: int,
        piece: Piece,
        sums: Value,
        *,
        fresh: bool,
    ) -> None:
        code = self.code
        weights = code.at(self.constants, code.scaled(number, piece.weight_bytes, piece.weights))
        arguments = [at, code.long(stride), weights]
        ready = replace(tile, fresh=fresh)
        if isinstance(ready, LookupTile):
            start = (piece.start + (1 << 15)) % (1 << 16) - (1 << 15)  # equal modulo 2^16
            arguments.append(code.at(self.constants, piece.banks))
            # Of many pieces, copies would take long to compile.
            inline = not self.layer.wide
            function = ready.emit(code.module, self.target, piece.length, inline=inline)
            code.call(function, [*arguments, sums, ir.Constant(SHORT, start)])
        else:
            function = ready.emit(code.module, self.target, piece.length)
            code.call(function, [*arguments, sums])

    def _widen(self, tile: Value, piece: Piece, rows: int) -> None:
        code, layer = self.code, self.layer
        sums = sums_of(layer.tile, wide=False)
        assert piece.multipliers is not None
        multipliers = code.at(self.constants, piece.multipliers)
        if piece.per_output:
            multipliers = code.at(multipliers, code.scaled(tile, 4 * layer.tile.outputs))
        function = emit_widen(code.module, sums, per_output=piece.per_output)
        code.call(function, [self.sums, self.totals, multipliers, code.long(rows)])

    def _widen_pair(self, tile: Value, first: Piece, second: Value, rows: int) -> None:
        code, layer = self.code, self.layer
        sums = sums_of(layer.tile, wide=False)
        assert first.multipliers is not None
        multipliers = code.at(self.constants, first.multipliers)
        if first.per_output:
            multipliers = code.at(multipliers, code.scaled(tile, 4 * layer.tile.outputs))
        function = emit_widen_pair(code.module, self.target, sums, per_output=first.per_output)
        code.call(function, [self.sums, second, self.totals, multipliers, code.long(rows)])

    def _finish(
        self,
        tile: Value,
        outputs: int,
        sums: Value,
        rows: int,
        image: Value,
        row: Value,
        column: Value | int,
    ) -> None:
        code, layer = self.code, self.layer
        y = layer.y
        at = code.at(self.arena, code.scaled(image, self.image_bytes, y.at()))
        if not layer.single:
            at = code.at(at, code.scaled(row, y.row_bytes))
            at = code.at(at, code.scaled(column, y.pixel_bytes))
        emit_finish(
            code,
            layer.finish,
            layer.sums,
            y,
            values=sums,
            constants=self.constants,
            pixel=at,
            stride=self.image_bytes if layer.single else y.pixel_bytes,
            rows=rows,
            channel=layer.channel,
            tile=tile,
            outputs=outputs,
        )
