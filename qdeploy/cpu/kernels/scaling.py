# SPDX-License-Identifier: Apache-2.0
"""Sums of pieces of a window, times multipliers, added up as int32."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value, everywhere, vector
from qdeploy.cpu.kernels.sums import Sums
from qdeploy.cpu.kernels.targets import Target, add_short_products

_RUN = 8  # neighbouring 16-bit lanes of which an instruction interleaves the lower or upper half


def emit_widen(module: ir.Module, sums: Sums, *, per_output: bool) -> ir.Function:
    """widen(sums, totals, multipliers, rows): int32 totals += multiplier · sum.

    One multiplier (int32), or one for each output of the tile.
    """
    name = f"widen_{sums.name}_{'each' if per_output else 'one'}"
    if name in module.globals:
        return module.globals[name]
    code = Code(module, name, [POINTER, POINTER, POINTER, LONG])
    build = code.build
    source, totals, multipliers, rows = code.arguments
    kind = vector(WORD, sums.lanes)
    with code.loop(rows) as row:
        for j in range(sums.vectors):
            value = sums.of(code, source, row, j)
            if sums.short:
                value = build.sext(value, kind)
            if per_output:
                factor = code.load(kind, multipliers, 4 * sums.lanes * j)
            else:
                factor = everywhere(code, code.load(WORD, multipliers), sums.lanes)
            here = code.at(totals, code.scaled(row, 4 * sums.outputs, 4 * sums.lanes * j))
            total = build.add(code.load(kind, here), build.mul(value, factor))
            code.store(total, here)
    code.end()
    return code.function


def emit_widen_pair(
    module: ir.Module, target: Target, sums: Sums, *, per_output: bool
) -> ir.Function:
    """widen(sums, other sums, totals, multipliers, rows): totals += two products of 16 bits.

    Sums are those of `LookupTile`, totals int32 in the order of `Sums.interleaved`. Multipliers are
    `pair_multipliers` of the tile, or two numbers of 16 bits.
    """
    name = f"widen_pair_{sums.name}_{'each' if per_output else 'one'}"
    if name in module.globals:
        return module.globals[name]
    code = Code(module, name, [POINTER, POINTER, POINTER, POINTER, LONG])
    first, second, totals, multipliers, rows = code.arguments
    count = sums.lanes // 2
    words, bytes_of = vector(WORD, count // 2), vector(BYTE, sums.lanes)
    with code.loop(rows) as row:
        for j in range(sums.vectors):
            halves = zip(
                sums.halves(code, first, row, j), sums.halves(code, second, row, j), strict=True
            )
            parts = [_interleaved(code, *half, upper) for half in halves for upper in (0, 1)]
            for k, part in enumerate(parts):
                if per_output:
                    factors = code.load(bytes_of, multipliers, (4 * j + k) * sums.lanes)
                else:
                    both = everywhere(code, code.load(WORD, multipliers), count // 2)
                    factors = code.build.bitcast(both, bytes_of)
                at = code.scaled(row, 4 * sums.outputs, (4 * j + k) * sums.lanes)
                here = code.at(totals, at)
                values = code.build.bitcast(part, bytes_of)
                total = add_short_products(code, target, code.load(words, here), values, factors)
                code.store(total, here)
    code.end()
    return code.function


def pair_multipliers(first: NDArray[np.int64], second: NDArray[np.int64], sums: Sums) -> bytes:
    """Two multipliers for each output, in whole tiles, as `emit_widen_pair` reads them."""
    pairs = np.stack([first, second], axis=-1).astype(np.int16)
    if len(pairs) == 1:
        return pairs.tobytes()
    count = sums.lanes // 2
    halves = pairs.reshape(-1, count // _RUN, 2, _RUN // 2, 2, 2)  # run, upper, lane, odd, pair
    return np.ascontiguousarray(halves.transpose(0, 4, 2, 1, 3, 5)).tobytes()


def _interleaved(code: Code, a: Value, b: Value, upper: int) -> Value:
    """Lanes of `a` and `b` in turns, of the lower or upper half of each run."""
    count = a.type.count
    order = [
        lane + side * count
        for run in range(0, count, _RUN)
        for lane in range(run + upper * _RUN // 2, run + (upper + 1) * _RUN // 2)
        for side in (0, 1)
    ]
    return code.build.shuffle_vector(a, b, ir.Constant(vector(WORD, count), order))
