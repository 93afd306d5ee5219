# SPDX-License-Identifier: Apache-2.0
"""The machine code of a layer: a function of whole sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value, splat, vector
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.lstm.counting import Count, plan_count
from qdeploy.cpu.lstm.operands import Operand, operand, row_sums
from qdeploy.cpu.lstm.rounding import rounded_quotient
from qdeploy.cpu.lstm.stored_codes import StoredCodes
from qdeploy.cpu.program.constants import ALIGNMENT, Constants
from qdeploy.cpu.program.layouts import Buffer, Words
from qdeploy.cpu.program.matrix import Matrix
from qdeploy.cpu.program.matrix_planning import MatrixPlanner
from qdeploy.errors import UserError
from qdeploy.integer import LstmLayer, ValueRange, accumulator_range

_WORDS = ValueRange(-(1 << 31), (1 << 31) - 2)
ENTRIES = 16  # inputs whose products are computed together, if there are fewer sequences


@dataclass(frozen=True, eq=False)
class CompiledLstm:
    """All that is needed to run a layer.

    Attributes:
        code: an object file with the function "steps".
        constants: what it reads, to lie at a multiple of 64 bytes.
        sequence_bytes: memory of the state of a sequence.
        entry_bytes: memory of the input of a step of a sequence.
    """

    code: bytes
    constants: bytes
    sequence_bytes: int
    entry_bytes: int

    def arena_bytes(self, sequences: int) -> int:
        """What to work in, zeros before the first use."""
        return sequences * self.sequence_bytes + max(ENTRIES, sequences) * self.entry_bytes


def compile_lstm(layer: LstmLayer, target: Target) -> CompiledLstm:
    """Compile `layer`.

    The function is steps(constants, arena, sequences, steps, x, h, c, outputs, last): codes int64
    x [steps, sequences, I], h and c [sequences, H] to h of each step, outputs
    [steps, sequences, H], and the last c, [sequences, H]. It returns whether a code is outside its
    range, int64 0 or 1; then the results mean nothing.

    Raises:
        UserError: if sums or codes are wider than the kernels.
    """
    planner = LstmPlanner(layer, target)
    module = planner.module()
    code = compile_object(module, target)
    return CompiledLstm(code, planner.constants.block(), planner.sequence.size, planner.entry.size)


class _Memory:
    """Buffers behind each other."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, count: int) -> int:
        """Offset of `count` bytes and room for a register more."""
        offset = self.size
        self.size += (count // ALIGNMENT + 2) * ALIGNMENT
        return offset


class LstmPlanner:
    """Buffers, constants and functions of one layer."""

    def __init__(self, layer: LstmLayer, target: Target) -> None:
        self.layer, self.target = layer, target
        for what, codes in (("inputs", layer.input), ("hidden states", layer.hidden)):
            if codes.high - codes.low > 255:
                raise self._too_wide(f"{what} {codes}", "8 bits")
        if layer.state.bits > 31 or any(gate.range.bits > 31 for gate in layer.gates):
            raise self._too_wide(f"cell states {layer.state}", "31 bits")
        self.constants, self.lanes = Constants(), target.vector_bytes // 4
        self.sequence, self.entry = _Memory(), _Memory()
        size = layer.hidden_size
        self.x, self.h = self.entry.take(layer.input_size), self.sequence.take(size)
        self.state = self.sequence.take(4 * size)
        self.codes = [self.sequence.take(4 * size) for _ in range(4)]
        self.next = self.sequence.take(size)
        self.inputs, self.hiddens = (
            self._matrix(operand(name, weights, codes), memory)
            for name, weights, codes, memory in (
                ("input", layer.input_weights, layer.input, self.entry),
                ("hidden", layer.hidden_weights, layer.hidden, self.sequence),
            )
        )
        bias = layer.bias
        for weights, codes in (
            (layer.input_weights, layer.input),
            (layer.hidden_weights, layer.hidden),
        ):
            bias = bias + codes.low * row_sums(weights)  # what levels leave out
        self.bias = self.constants.add(bias.astype(np.int32))
        self.gates = [plan_count(gate, layer.sums, self.constants) for gate in layer.gates]
        self.cell = plan_count(layer.cell, layer.state, self.constants)

    def _too_wide(self, what: str, most: str) -> UserError:
        return UserError(
            f"{what} are wider than the {most} of the kernels",
            layer=self.layer.name,
            remedy="use fewer bits",
        )

    def _matrix(self, of: Operand, memory: _Memory) -> tuple[Operand, Matrix]:
        rows = of.node.weights.shape[0]
        sums = accumulator_range(of.node, of.levels)
        x = Buffer(of.channels, 1, 1, of.choice.layout, 0)
        x = Buffer(of.channels, 1, 1, of.choice.layout, memory.take(x.bytes))
        y = Buffer(rows, 1, 1, Words(), memory.take(4 * rows))
        planner = MatrixPlanner(self.constants, self.target)
        fits = _WORDS.low <= self.layer.sums.low and self.layer.sums.high <= _WORDS.high
        matrix = planner.plan(of.node, 0, of.choice, x, y, sums, None)
        if matrix is None or not fits:
            raise self._too_wide(f"{of.node.name} sums {self.layer.sums}", "32 bits")
        return of, matrix

    @property
    def description(self) -> str:
        """What computes the products, and why, for people."""
        (_, inputs), (_, hiddens) = self.inputs, self.hiddens
        return f"inputs: {inputs.description}; hidden states: {hiddens.description}"

    # Code.

    def module(self) -> ir.Module:
        """A module with the function steps."""
        module, layer = ir.Module("lstm"), self.layer
        of_x = self._product(module, self.inputs, self.x, self.entry.size)
        of_h = self._product(module, self.hiddens, self.h, self.sequence.size)
        cell = self._cell(module)
        arguments = [POINTER, POINTER, LONG, LONG, *[POINTER] * 5]
        code = Code(module, "steps", arguments, public=True, result=LONG)
        constants, arena, sequences, steps, x, h, c, outputs, last = code.arguments
        size, inputs = layer.hidden_size, layer.input_size
        outside = code.variable(LONG, code.long(0))
        hidden = self._codes(layer.hidden, BYTE)
        state, entering = self._codes(layer.state, WORD), self._codes(layer.input, BYTE)
        entries = code.at(arena, code.scaled(sequences, self.sequence.size))
        with code.loop(sequences) as sequence:
            own = code.at(arena, code.scaled(sequence, self.sequence.size))
            row = code.scaled(sequence, size)
            hidden.take(code, h, row, code.at(own, self.h), size, outside)
            state.take(code, c, row, code.at(own, self.state), size, outside)
        build = code.build
        several = build.icmp_signed("<", sequences, code.long(ENTRIES))
        some = build.select(several, sequences, code.long(ENTRIES))
        together = build.udiv(code.long(ENTRIES), some)
        with code.loop(self._rounds(code, steps, together)) as turn:
            start = build.mul(turn, together)
            rest = build.sub(steps, start)
            present = build.select(build.icmp_signed("<", rest, together), rest, together)
            first, count = build.mul(start, sequences), build.mul(present, sequences)
            with code.loop(count) as index:
                entry = code.at(entries, code.scaled(index, self.entry.size, self.x))
                row = code.scaled(build.add(first, index), inputs)
                entering.take(code, x, row, entry, inputs, outside)
            code.call(of_x, [constants, entries, count])
            with code.loop(present) as step:
                code.call(of_h, [constants, arena, sequences])
                with code.loop(sequences) as sequence:
                    own = code.at(arena, code.scaled(sequence, self.sequence.size))
                    index = build.add(build.mul(step, sequences), sequence)
                    entry = code.at(entries, code.scaled(index, self.entry.size))
                    code.call(cell, [constants, own, entry])
                    row = code.scaled(build.add(first, index), size)
                    hidden.give(code, code.at(own, self.next), outputs, row, size)
                    hidden.take(code, outputs, row, code.at(own, self.h), size, outside)
        with code.loop(sequences) as sequence:
            own = code.at(arena, code.scaled(sequence, self.sequence.size))
            row = code.scaled(sequence, size)
            state.give(code, code.at(own, self.state), last, row, size)
        code.build.ret(outside.get())
        return module

    @staticmethod
    def _rounds(code: Code, steps: Value, together: Value) -> Value:
        """How often `together` steps are begun."""
        build = code.build
        return build.udiv(build.sub(build.add(steps, together), code.long(1)), together)

    def _codes(self, limits: ValueRange, element: ir.IntType) -> StoredCodes:
        low = limits.low if element is BYTE else 0
        return StoredCodes(limits, low, element, self.lanes)

    def _product(
        self, module: ir.Module, planned: tuple[Operand, Matrix], levels: int, stride: int
    ) -> ir.Function:
        """product(constants, arena, count): from levels to sums, each in `stride` bytes."""
        of, matrix = planned
        pack = of.emit(module, self.target)
        multiply = matrix.emit(module, self.target, stride)
        code = Code(module, f"product_{of.node.name}", [POINTER, POINTER, LONG])
        constants, arena, count = code.arguments
        with code.loop(count) as index:
            own = code.at(arena, code.scaled(index, stride))
            code.call(pack, [code.at(own, levels), code.at(own, matrix.x.offset)])
        units = code.long(matrix.units)
        code.call(multiply, [constants, arena, count, code.long(0), units])
        code.end()
        return code.function

    def _cell(self, module: ir.Module) -> ir.Function:
        """cell(constants, memory of a sequence, of an entry): from sums to the next state."""
        code = Code(module, "cell", [POINTER, POINTER, POINTER])
        constants, arena, entry = code.arguments
        size, kind = self.layer.hidden_size, vector(WORD, self.lanes)
        sums = code.at(arena, self.hiddens[1].y.offset)
        sources = (sums, code.at(entry, self.inputs[1].y.offset), code.at(constants, self.bias))
        with code.loop(4 * size, step=self.lanes) as index:
            place = code.scaled(index, 4)
            parts = [code.load(kind, source, place) for source in sources]
            total = code.build.add(code.build.add(parts[0], parts[1]), parts[2])
            code.store(total, sums, place)
        for number, (count, codes) in enumerate(zip(self.gates, self.codes, strict=True)):
            values = code.at(sums, 4 * size * number)
            self._count(code, count, constants, values, code.at(arena, codes))
        with code.loop(size, step=self.lanes) as index:
            self._next_state(code, arena, code.scaled(index, 4))
        tanh = code.at(arena, self.codes[0])
        self._count(code, self.cell, constants, code.at(arena, self.state), tanh)
        with code.loop(size, step=self.lanes) as index:
            self._next_hidden(code, arena, index)
        code.end()
        return code.function

    def _count(
        self, code: Code, count: Count, constants: Value, values: Value, codes: Value
    ) -> None:
        number = code.long(self.layer.hidden_size)
        code.call(count.emit(code.module), [constants, values, codes, number])

    def _next_state(self, code: Code, arena: Value, place: Value) -> None:
        build, layer, kind = code.build, self.layer, vector(WORD, self.lanes)
        i, f, g = (code.load(kind, code.at(arena, codes), place) for codes in self.codes[:3])
        c = code.load(kind, code.at(arena, self.state), place)
        total = build.add(self._rounded(code, 0, f, c), self._rounded(code, 1, i, g))
        low, high = (splat(WORD, self.lanes, end) for end in (layer.state.low, layer.state.high))
        total = build.select(build.icmp_signed(">", total, low), total, low)
        total = build.select(build.icmp_signed("<", total, high), total, high)
        code.store(total, code.at(arena, self.state), place)

    def _next_hidden(self, code: Code, arena: Value, index: Value) -> None:
        build, place, kind = code.build, code.scaled(index, 4), vector(WORD, self.lanes)
        tanh, o = (
            code.load(kind, code.at(arena, codes), place)
            for codes in (self.codes[0], self.codes[3])
        )
        h = build.sub(
            self._rounded(code, 2, o, tanh), splat(WORD, self.lanes, self.layer.hidden.low)
        )
        code.store(build.trunc(h, vector(BYTE, self.lanes)), code.at(arena, self.next), index)

    def _rounded(self, code: Code, number: int, a: Value, b: Value) -> Value:
        """The quotient of a product of codes."""
        quotient, ranges = self.layer.products()[number]
        most = 1
        for values in ranges:
            most *= max(abs(values.low), abs(values.high))
        return rounded_quotient(code, quotient, code.build.mul(a, b), most)
