# SPDX-License-Identifier: Apache-2.0
"""The most that a core could compute: the inner instructions of the kernels on registers alone."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.kernels.code import BYTE, LONG, SHORT, WORD, Code, Value, vector
from qdeploy.cpu.kernels.compilation import LoadedObject, compile_object
from qdeploy.cpu.kernels.lookup import LookupTile
from qdeploy.cpu.kernels.targets import Target, add_products, look_up
from qdeploy.cpu.program.layouts import Levels
from qdeploy.cpu.program.matrix import Matrix
from qdeploy.cpu.program.planning import Step

_SUMS = 10  # independent ones, enough for the longest latency
_TURNS = 20_000
_REPEATS = 40


@dataclass(frozen=True)
class Roofline:
    """Measured on one core.

    Attributes:
        lookups: bytes that table lookups find and add, each second.
        products: products of bytes that are computed and added, each second.
    """

    lookups: float
    products: float

    def share(self, step: Step | None, microseconds: float) -> float | None:
        """Part of the possible speed that a step reached; None where no kernel multiplies."""
        if not isinstance(step, Matrix):
            return None
        most = self.products
        if isinstance(step.tile, LookupTile):
            assert isinstance(step.x.layout, Levels)
            most = self.lookups * step.tile.group_bytes * step.x.layout.packing.fields
        return step.work / (microseconds * 1e-6) / most


def roofline(target: Target) -> Roofline:
    """Measure what this core does with the instructions of `target`."""
    module = ir.Module("roofline")
    _emit(module, target, "lookups", _lookups)
    _emit(module, target, "products", _products)
    loaded = LoadedObject(compile_object(module, target), target)
    rates = {}
    for name in ("lookups", "products"):
        function = ctypes.CFUNCTYPE(None, ctypes.c_long)(loaded.address(name))
        best = min(_seconds(function) for _ in range(_REPEATS))
        rates[name] = _TURNS * _SUMS * target.vector_bytes / best
    return Roofline(**rates)


def _seconds(function: Callable[[int], None]) -> float:
    start = time.perf_counter()
    function(_TURNS)
    return time.perf_counter() - start


def _lookups(code: Code, target: Target, total: Value, x: Value) -> Value:
    return code.build.add(total, look_up(code, target, x, x, target.table_bytes))


def _products(code: Code, target: Target, total: Value, x: Value) -> Value:
    build = code.build
    if target.products == "widening":
        wide = vector(SHORT, target.vector_bytes)
        return build.add(total, build.mul(build.zext(x, wide), build.sext(x, wide)))
    return add_products(code, target, total, x, x)


def _emit(
    module: ir.Module,
    target: Target,
    name: str,
    operation: Callable[[Code, Target, Value, Value], Value],
) -> None:
    """name(turns): `operation` on `_SUMS` sums in each turn."""
    size = target.vector_bytes
    kinds = {"dot": vector(WORD, size // 4), "pairs": vector(SHORT, size // 2)}
    kind = vector(BYTE, size)
    if operation is _products:
        kind = kinds.get(target.products, vector(SHORT, size))
    code = Code(module, name, [LONG], public=True)
    sums = [code.variable(kind, ir.Constant(kind, None)) for _ in range(_SUMS)]
    x = code.variable(vector(BYTE, size), ir.Constant(vector(BYTE, size), [3] * size))
    with code.loop(code.arguments[0]):
        for total in sums:
            x.set(_unknown(code, target, x.get()))
            total.set(operation(code, target, total.get(), x.get()))
    for total in sums:
        for part in _registers(code, target, total.get()):
            _unknown(code, target, part)
    code.end()


def _registers(code: Code, target: Target, value: Value) -> list[Value]:
    """The parts of a vector that fill a register each."""
    kind, size = value.type, target.vector_bytes
    lanes = size * 8 // kind.element.width
    orders = [
        ir.Constant(vector(WORD, lanes), list(range(at, at + lanes)))
        for at in range(0, kind.count, lanes)
    ]
    nothing = ir.Constant(kind, ir.Undefined)
    return [code.build.shuffle_vector(value, nothing, order) for order in orders]


def _unknown(code: Code, target: Target, value: Value) -> Value:
    """The same value, of which the compiler knows nothing any more."""
    register = "x" if target.architecture == "x86_64" else "w"
    kind = ir.FunctionType(value.type, [value.type])
    return code.build.asm(kind, "", f"={register},0", [value], side_effect=True)
