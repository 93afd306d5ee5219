# SPDX-License-Identifier: Apache-2.0
"""Writing a function in LLVM's intermediate language.

Variables live in stack slots, which LLVM turns into registers; pointers are opaque and offsets
count bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir

BYTE = ir.IntType(8)
SHORT = ir.IntType(16)
WORD = ir.IntType(32)
LONG = ir.IntType(64)
BIT = ir.IntType(1)
FLOAT = ir.FloatType()
DOUBLE = ir.DoubleType()
POINTER = ir.PointerType()

Value: TypeAlias = ir.Value
Number: TypeAlias = ir.Value | int


def vector(element: ir.Type, lanes: int) -> ir.VectorType:
    """`lanes` elements."""
    return ir.VectorType(element, lanes)


def splat(element: ir.Type, lanes: int, number: int | float) -> ir.Constant:
    """A vector of `lanes` times `number`."""
    return ir.Constant(vector(element, lanes), [number] * lanes)


class Variable:
    """A stack slot of one value."""

    def __init__(self, code: Code, kind: ir.Type, initial: Value | None) -> None:
        self._code, self._kind = code, kind
        self._slot = code.slot(kind)
        if initial is not None:
            self.set(initial)

    def get(self) -> Value:
        """The present value."""
        return self._code.build.load(self._slot, typ=self._kind)

    def set(self, value: Value) -> None:
        """Make `value` the present value."""
        self._code.build.store(value, self._slot)


class Code:
    """A function of one module, written statement by statement.

    Attributes:
        build: the builder, for plain instructions.
        arguments: of the function.
    """

    def __init__(
        self,
        module: ir.Module,
        name: str,
        arguments: Sequence[ir.Type],
        *,
        public: bool = False,
        inline: bool = False,
        result: ir.Type | None = None,
    ) -> None:
        kind = ir.FunctionType(result or ir.VoidType(), list(arguments))
        self.function = ir.Function(module, kind, name)
        self.function.attributes.add("nounwind")
        # No calls of the C library. llvmlite's list of attributes lacks it.
        set.add(self.function.attributes, '"no-builtins"')
        if not inline:  # copies take long to compile
            self.function.attributes.add("noinline")
        if not public:
            self.function.linkage = "internal"
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.arguments: Sequence[Value] = self.function.args
        self.module = module

    def long(self, number: Number) -> Value:
        """`number` as a 64-bit integer."""
        return ir.Constant(LONG, number) if isinstance(number, int) else number

    def variable(self, kind: ir.Type, initial: Value | None = None) -> Variable:
        """A new variable."""
        return Variable(self, kind, initial)

    def slot(self, kind: ir.Type, align: int | None = None) -> Value:
        """Memory of this call for one value."""
        with self.build.goto_entry_block():
            slot = self.build.alloca(kind)
        slot.align = align
        slot.type = POINTER  # llvmlite gives it a typed pointer
        return slot

    def memory(self, size: int, align: int) -> Value:
        """`size` bytes of this call."""
        return self.slot(ir.ArrayType(BYTE, size), align)

    def at(self, pointer: Value, offset: Number) -> Value:
        """`pointer` moved by `offset` bytes."""
        return self.build.gep(pointer, [self.long(offset)], source_etype=BYTE, inbounds=True)

    def load(self, kind: ir.Type, pointer: Value, offset: Number = 0, align: int = 1) -> Value:
        """The value at `offset` bytes from `pointer`."""
        return self.build.load(self.at(pointer, offset), align=align, typ=kind)

    def store(self, value: Value, pointer: Value, offset: Number = 0, align: int = 1) -> None:
        """Write `value` at `offset` bytes from `pointer`."""
        self.build.store(value, self.at(pointer, offset), align=align)

    def scaled(self, index: Number, factor: int, addend: Number = 0) -> Value:
        """Index · factor + addend, 64 bits."""
        product = self.build.mul(self.long(index), self.long(factor))
        return self.build.add(product, self.long(addend))

    def divided(self, number: Value, divisor: int) -> tuple[Value, Value]:
        """Quotient and rest of a number below 2^32 (32-bit processors divide no longs)."""
        build, by = self.build, ir.Constant(WORD, divisor)
        short = build.trunc(number, WORD)
        quotient, rest = build.udiv(short, by), build.urem(short, by)
        return build.zext(quotient, LONG), build.zext(rest, LONG)

    @contextmanager
    def loop(self, count: Number, start: Number = 0, step: int = 1) -> Iterator[Value]:
        """For index = start, start + step, ... below `count`."""
        build = self.build
        index = self.variable(LONG, self.long(start))
        head, body, end = (
            self.function.append_basic_block(name) for name in ("head", "body", "end")
        )
        build.branch(head)
        build.position_at_end(head)
        present = index.get()
        build.cbranch(build.icmp_signed("<", present, self.long(count)), body, end)
        build.position_at_end(body)
        yield present
        index.set(build.add(present, self.long(step)))
        build.branch(head)
        build.position_at_end(end)

    def call(self, function: ir.Function, arguments: Sequence[Value]) -> Value:
        """Call another function of the module."""
        return self.build.call(function, list(arguments))

    def end(self) -> None:
        """Return from the function."""
        self.build.ret_void()


def everywhere(code: Code, value: Value, lanes: int) -> Value:
    """A vector of `lanes` times `value`."""
    kind = vector(value.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    first = code.build.insert_element(nothing, value, ir.Constant(WORD, 0))
    return code.build.shuffle_vector(first, nothing, ir.Constant(vector(WORD, lanes), [0] * lanes))
