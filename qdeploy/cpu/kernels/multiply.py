# SPDX-License-Identifier: Apache-2.0
"""Sums of products of unsigned activations and signed weights, bytes or integers of 16 bits.

How many products an instruction adds depends on the target (`Target.products`); where it gives
sums of 16 bits, these are added to sums of 32 bits before they can overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import (
    BYTE,
    LONG,
    POINTER,
    SHORT,
    WORD,
    Code,
    Value,
    Variable,
    splat,
    vector,
)
from qdeploy.cpu.kernels.targets import Products, Target, add_products, add_short_products

_BYTES_AT_ONCE: dict[Products, int] = {"dot": 4, "pairs": 4, "widening": 1}
_SHORTS_AT_ONCE: dict[Products, int] = {"dot": 2, "pairs": 2, "widening": 1}


@dataclass(frozen=True)
class MultiplyTile:
    """The sums of some rows of activations with the weights of `outputs` outputs.

    Weights: for each `step` activations as many weights per output, outputs next to each other;
    zeros where activations are missing in the last step. Sums: int32 [rows, outputs].

    Attributes:
        rows: rows of activations at once.
        vectors: registers of outputs at once.
        lanes: bytes of a register.
        products: as the target multiplies.
        flush: steps whose sum fits 16 bits, at least one; used with bytes, and not with "dot".
        short: whether activations and weights have 16 bits.
        fresh: whether sums begin with zero, not with what they are.
    """

    rows: int
    vectors: int
    lanes: int
    products: Products
    flush: int
    short: bool = False
    fresh: bool = False

    @property
    def step(self) -> int:
        """Activations of an output that one instruction takes."""
        return (_SHORTS_AT_ONCE if self.short else _BYTES_AT_ONCE)[self.products]

    @property
    def step_bytes(self) -> int:
        """Bytes of `step` activations."""
        return self.step * (2 if self.short else 1)

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.lanes // self.step_bytes

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums."""
        return self.rows * self.outputs * 4

    def weight_bytes(self, activations: int) -> int:
        """Bytes of the weights of `activations` activations."""
        return -(-activations // self.step) * self.vectors * self.lanes

    def emit(self, module: ir.Module, target: Target, steps: int) -> ir.Function:
        """tile(activations, bytes between rows, weights, sums).

        Adds the products of `steps` steps to the sums, or to zero.
        """
        kind = "shorts" if self.short else "bytes"
        name = f"multiply_{kind}_{self.rows}x{self.vectors}x{self.lanes}_{self.flush}_{steps}"
        name += "_fresh" if self.fresh else ""
        if name not in module.globals:
            code = Code(module, name, [POINTER, LONG, POINTER, POINTER])
            _Writer(self, code, target).write(steps)
        return module.globals[name]


class _Writer:
    """Writes the function of one tile."""

    def __init__(self, tile: MultiplyTile, code: Code, target: Target) -> None:
        self.tile, self.code, self.target = tile, code, target
        activations, stride, weights, self.sums = code.arguments
        self.rows = [code.at(activations, code.scaled(stride, m)) for m in range(tile.rows)]
        self.weight = code.variable(POINTER, weights)
        self.position = code.variable(LONG, code.long(0))
        self.bytes = vector(BYTE, tile.lanes)
        self.words = vector(WORD, tile.lanes // tile.step_bytes)

    def write(self, steps: int) -> None:
        code, tile = self.code, self.tile
        totals = [
            [code.variable(self.words, self._start(at)) for at in offsets]
            for offsets in self._offsets()
        ]
        if tile.products == "dot" or tile.short:
            with code.loop(steps):
                self._step(totals)
        else:
            # As few copies of the loop as possible: equal parts.
            together = -(-steps // -(-steps // tile.flush))
            whole, rest = divmod(steps, together)
            with code.loop(whole):
                self._steps(together, totals)
            if rest:
                self._steps(rest, totals)
        for offsets, parts in zip(self._offsets(), totals, strict=True):
            for at, part in zip(offsets, parts, strict=True):
                code.store(part.get(), self.sums, at)
        code.end()

    def _start(self, at: int) -> Value:
        if self.tile.fresh:
            return ir.Constant(self.words, None)
        return self.code.load(self.words, self.sums, at)

    def _offsets(self) -> list[list[int]]:
        tile = self.tile
        size = 4 * self.words.count
        return [
            [(m * tile.vectors + j) * size for j in range(tile.vectors)] for m in range(tile.rows)
        ]

    def _steps(self, count: int, totals: list[list[Variable]]) -> None:
        """Sums of 16 bits over `count` steps, then widened."""
        code, tile = self.code, self.tile
        shorts = vector(SHORT, tile.lanes // 2 if tile.products == "pairs" else tile.lanes)
        zero = ir.Constant(shorts, None)
        sums = [[code.variable(shorts, zero) for _ in row] for row in totals]
        with code.loop(count):
            self._step(sums)
        for row, parts in zip(sums, totals, strict=True):
            for total, part in zip(row, parts, strict=True):
                part.set(code.build.add(part.get(), self._widened(total.get())))

    def _step(self, sums: list[list[Variable]]) -> None:
        code, build, tile = self.code, self.code.build, self.tile
        here, weight = self.position.get(), self.weight.get()
        weights = [code.load(self.bytes, weight, tile.lanes * j) for j in range(tile.vectors)]
        for row, parts in zip(self.rows, sums, strict=True):
            activations = self._spread(code.at(row, here))
            for part, signed in zip(parts, weights, strict=True):
                part.set(self._add(part.get(), activations, signed))
        self.position.set(build.add(here, code.long(tile.step_bytes)))
        self.weight.set(code.at(weight, tile.lanes * tile.vectors))

    def _spread(self, activations: Value) -> Value:
        """The `step` activations there, repeated over a register."""
        code, build, tile = self.code, self.code.build, self.tile
        kind = ir.IntType(8 * tile.step_bytes)
        many = vector(kind, tile.lanes // tile.step_bytes)
        nothing = ir.Constant(many, ir.Undefined)
        first = build.insert_element(nothing, code.load(kind, activations), ir.Constant(WORD, 0))
        order = ir.Constant(vector(WORD, many.count), [0] * many.count)
        return build.bitcast(build.shuffle_vector(first, nothing, order), self.bytes)

    def _add(self, total: Value, unsigned: Value, signed: Value) -> Value:
        build, tile = self.code.build, self.tile
        if tile.short:
            return add_short_products(self.code, self.target, total, unsigned, signed)
        if tile.products != "widening":
            return add_products(self.code, self.target, total, unsigned, signed)
        shorts = vector(SHORT, tile.lanes)
        product = build.mul(build.zext(unsigned, shorts), build.sext(signed, shorts))
        return build.add(total, product)

    def _widened(self, shorts: Value) -> Value:
        build, words = self.code.build, self.words
        if self.tile.products == "widening":
            return build.sext(shorts, words)
        both, sixteen = build.bitcast(shorts, words), splat(WORD, words.count, 16)
        even = build.ashr(build.shl(both, sixteen), sixteen)
        return build.add(even, build.ashr(both, sixteen))
