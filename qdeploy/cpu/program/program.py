# SPDX-License-Identifier: Apache-2.0
"""The machine code of a plan, and how it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.code import LONG, POINTER, Code, Value
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import Argument
from qdeploy.cpu.program.constants import SLACK
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.planning import Entry, Exit, Plan

# Multiplications from which on a step is worth dividing: microseconds (of 8-bit products, ten).
PARALLEL_WORK = 1_500_000
ARGUMENTS = [POINTER, POINTER, LONG, POINTER, POINTER, POINTER, LONG]


def emit(plan: Plan, target: Target) -> ir.Module:
    """A module with the function run.

    run(constants, arena, images, tensors, parallel, context, parts): constants and the arena (see
    `arena`) begin at multiples of 64 bytes; tensors are the addresses of the inputs and outputs, 8
    bytes each. With more than one part,
    and as many images, every part takes some of them; with fewer images, long steps are divided.
    For this, parallel(context, function, argument, parts) calls function(argument, part) for each
    part, in any order and at the same time.
    """
    module = ir.Module("program")
    emit_run(module, plan, _sequence(module, plan, target))
    return module


class Shape(Protocol):
    """What a program reads, writes and works in."""

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """Its first arguments."""

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """Those behind them."""

    @property
    def image_bytes(self) -> int:
        """Of the arena, for each image."""


def emit_run(module: ir.Module, shape: Shape, sequence: ir.Function) -> None:
    """The function run (see `emit`) around `sequence`, which has its arguments."""
    code = Code(module, "run", ARGUMENTS, public=True)
    build = code.build
    *_, parallel, context, parts = code.arguments
    images = code.arguments[2]
    several = build.icmp_signed(">", parts, code.long(1))
    enough = build.icmp_signed(">=", images, parts)
    with build.if_else(build.and_(several, enough)) as (divided, alone):
        with divided:
            values = code.arguments[:4]
            closure = _closure(code, [*values, parts])
            function = _images(module, shape, sequence)
            call_parallel(code, parallel, [context, function, closure, parts])
        with alone:
            code.call(sequence, code.arguments)
    code.end()


def call_parallel(code: Code, parallel: Value, arguments: list[Value]) -> None:
    """Call the function at `parallel`."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, LONG])
    address = code.build.ptrtoint(parallel, LONG)
    # llvmlite calls functions only by typed pointers.
    code.build.call(code.build.inttoptr(address, kind.as_pointer()), arguments)


def _sequence(module: ir.Module, plan: Plan, target: Target) -> ir.Function:
    """All steps, one after the other."""
    entries, layers, exits = (
        [step.emit(module, target, plan.image_bytes) for step in steps]
        for steps in (plan.entries, plan.steps, plan.exits)
    )
    code = Code(module, "sequence", ARGUMENTS)
    constants, arena, images, tensors, parallel, context, parts = code.arguments
    first = code.long(0)

    def call(function: ir.Function, step: Entry | Exit) -> None:
        more = [code.load(POINTER, tensors, 8 * place, align=8) for place in step.arguments]
        code.call(function, [constants, arena, images, first, code.long(step.units), *more])

    for function, entry in zip(entries, plan.entries, strict=True):
        call(function, entry)
    for layer, function in zip(plan.steps, layers, strict=True):
        values = [constants, arena, images, code.long(layer.units)]
        if layer.units > 1 and layer.work >= PARALLEL_WORK:
            _divide(code, function, values, parallel, context, parts)
        else:
            code.call(function, [*values[:3], first, values[3]])
    for function, last in zip(exits, plan.exits, strict=True):
        call(function, last)
    code.end()
    return code.function


def _divide(
    code: Code,
    step: ir.Function,
    values: list[Value],
    parallel: Value,
    context: Value,
    parts: Value,
) -> None:
    """A step on `values` (constants, arena, images, units), its units divided among parts."""
    build = code.build
    with build.if_else(build.icmp_signed(">", parts, code.long(1))) as (divided, alone):
        with divided:
            part = Code(code.module, f"part_of_{step.name}", [POINTER, LONG])
            constants, arena, images, units, all_parts = _opened(part, 2, 3)
            bounds = _bounds(part, part.arguments[1], units, all_parts)
            part.call(step, [constants, arena, images, *bounds])
            part.end()
            closure = _closure(code, [*values, parts])
            call_parallel(code, parallel, [context, part.function, closure, parts])
        with alone:
            code.call(step, [*values[:3], code.long(0), values[3]])


def _images(module: ir.Module, shape: Shape, sequence: ir.Function) -> ir.Function:
    """The whole sequence on a part of the images."""
    part = Code(module, "part_of_images", [POINTER, LONG])
    build = part.build
    constants, arena = _opened(part, 2, 0)
    images = part.load(LONG, part.arguments[0], 16, align=8)
    tensors = part.load(POINTER, part.arguments[0], 24, align=8)
    parts = part.load(LONG, part.arguments[0], 32, align=8)
    first, end = _bounds(part, part.arguments[1], images, parts)
    moved = from_image(part, tensors, first, (*shape.inputs, *shape.outputs))
    arena = part.at(arena, part.scaled(first, shape.image_bytes))
    nothing = ir.Constant(POINTER, None)
    count = build.sub(end, first)
    part.call(sequence, [constants, arena, count, moved, nothing, nothing, part.long(1)])
    part.end()
    return part.function


def from_image(code: Code, tensors: Value, first: Value, arguments: Sequence[Argument]) -> Value:
    """The addresses of a program's tensors from image `first` on, 8 bytes each."""
    moved = code.memory(8 * len(arguments), align=8)
    for place, argument in enumerate(arguments):
        tensor = code.load(POINTER, tensors, 8 * place, align=8)
        tensor = code.at(tensor, code.scaled(first, argument.image_bytes))
        code.store(tensor, moved, 8 * place, align=8)
    return moved


def _closure(code: Code, values: list[Value]) -> Value:
    """Memory with `values` of 8 bytes behind each other."""
    closure = code.memory(8 * len(values), align=8)
    for k, value in enumerate(values):
        code.store(value, closure, 8 * k, align=8)
    return closure


def _opened(code: Code, pointers: int, numbers: int) -> list[Value]:
    """The values of the closure that is the first argument: pointers, then numbers."""
    kinds = [POINTER] * pointers + [LONG] * numbers
    return [code.load(kind, code.arguments[0], 8 * k, align=8) for k, kind in enumerate(kinds)]


def _bounds(code: Code, part: Value, count: Value, parts: Value) -> tuple[Value, Value]:
    """First and end of what part `part` of `parts` takes of `count`."""
    build = code.build
    following = build.add(part, code.long(1))
    first, end = (build.udiv(build.mul(count, k), parts) for k in (part, following))
    return first, end


def arena(plan: Plan, images: int) -> NDArray[np.uint8]:
    """What a program works in, before its first run: uint8 [images · image_bytes + SLACK]."""
    return np.concatenate([np.tile(blank_image(plan), images), np.zeros(SLACK, np.uint8)])


def blank_image(plan: Plan) -> NDArray[np.uint8]:
    """The buffers of an image with their borders, uint8 [image_bytes]."""
    image = np.zeros(plan.image_bytes, np.uint8)
    for buffer in plan.buffers:
        if any(buffer.layout.border):
            part = image[buffer.offset : buffer.offset + buffer.bytes]
            part[:] = _padded(buffer).reshape(-1)
    return image


def _padded(buffer: Buffer) -> NDArray[np.uint8]:
    """A buffer of zeros in its border, uint8 [rows, columns, bytes of a pixel]."""
    top, left, bottom, right = buffer.layout.border
    shape = (top + buffer.height + bottom, left + buffer.width + right, buffer.pixel_bytes)
    pixels = np.empty(shape, np.uint8)
    if isinstance(buffer.layout, Levels):
        packing = buffer.layout.packing
        run = packing.bytes(packing.run(buffer.channels))
        pixels[:], pixels[..., run - 1 :: run] = buffer.layout.pad
    else:
        pixels.view(np.int32)[:] = buffer.layout.pad
    pixels[top : top + buffer.height, left : left + buffer.width] = 0
    return pixels
