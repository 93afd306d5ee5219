# SPDX-License-Identifier: Apache-2.0
"""What becomes of a step's sums: levels by thresholds, or the integers themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.cpu.kernels.code import Code, Number, Value
from qdeploy.cpu.kernels.counting import Counting
from qdeploy.cpu.kernels.finish import emit_integers, emit_levels
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.counting import plan_count
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.level_steps import LevelSteps
from qdeploy.integer import Integers, ValueRange

# One more than the largest sum is left for thresholds that are never reached.
SHORTS = ValueRange(-(1 << 15), (1 << 15) - 2)
WORDS = ValueRange(-(1 << 31), (1 << 31) - 2)


@dataclass(frozen=True)
class Thresholds:
    """Sums become levels.

    Attributes:
        table: offset of the table of `emit_levels` for the first tile.
        tile_bytes: from tile to tile.
        counting: how thresholds are counted.
        mapped: as in `emit_levels`.
    """

    table: int
    tile_bytes: int
    counting: Counting
    mapped: bool


@dataclass(frozen=True)
class Addends:
    """Sums become integers, or levels of a lattice of all integers.

    Attributes:
        table: offset of int32 addends for the first tile.
        tile_bytes: from tile to tile.
    """

    table: int
    tile_bytes: int


Finish = Thresholds | Addends


def plan_finish(
    constants: Constants, sums: Sums, shift: Integers, steps: LevelSteps | None
) -> Finish:
    """The constants for outputs whose sums lack `shift`, int64 [O]; `steps` as levels need them."""
    padding = -len(shift) % sums.outputs
    if steps is None:
        addends = np.pad(shift, (0, padding)).astype(np.int32)
        return Addends(constants.add(addends), 4 * sums.outputs)
    limits = SHORTS if sums.short else WORDS
    never = limits.high + 1
    values = np.clip(steps.thresholds - shift[:, np.newaxis], limits.low, never)
    values = np.pad(values, ((0, padding), (0, 0)), constant_values=never)
    counting, tables = plan_count(values, sums, limits)
    if steps.mapped:
        flip = np.where(steps.falls, 255, 0)
        maps = [
            np.pad(part, (0, padding)).astype(np.uint8).reshape(len(tables), -1)
            for part in (flip, steps.first + steps.falls)
        ]
        tables = np.hstack([tables, *maps])
    return Thresholds(constants.add(tables), tables.shape[1], counting, steps.mapped)


def fits(sums: Sums, shift: Integers, values: ValueRange) -> bool:
    """Whether sums that lack `shift` have room for all `values`."""
    limits = SHORTS if sums.short else WORDS
    low, high = values.low - int(shift.max()), values.high - int(shift.min())
    return limits.low <= low and high <= limits.high


def emit_finish(
    code: Code,
    finish: Finish,
    sums: Sums,
    y: Buffer,
    *,
    values: Value,
    constants: Value,
    pixel: Value,
    stride: int,
    rows: int,
    channel: int,
    tile: Value,
    outputs: int,
) -> None:
    """Write a tile of outputs.

    Args:
        code: of the calling function.
        finish: what is done.
        sums: layout of `values`.
        y: what is written.
        values: the sums.
        constants: the block.
        pixel: where the first row's pixel begins.
        stride: from row to row, bytes.
        rows: of sums.
        channel: first channel of the layer in `y`, at the beginning of a byte.
        tile: number of the tile of channels.
        outputs: that are written.
    """
    table = code.at(constants, code.scaled(tile, finish.tile_bytes, finish.table))
    packing = y.layout.packing if isinstance(y.layout, Levels) else None
    at: Number
    if packing is None:
        at = code.scaled(tile, 4 * sums.outputs, 4 * channel)
    else:
        at = code.scaled(tile, packing.bytes(sums.outputs), packing.bytes(channel))
    if isinstance(finish, Addends):
        function = emit_integers(code.module, sums, packing, outputs)
    else:
        assert packing is not None
        size = packing.bytes(outputs)
        function = emit_levels(
            code.module, sums, finish.counting, packing, size, mapped=finish.mapped
        )
    arguments = [values, table, code.at(pixel, at), code.long(stride), code.long(rows)]
    code.call(function, arguments)
