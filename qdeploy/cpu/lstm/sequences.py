# SPDX-License-Identifier: Apache-2.0
"""A layer as a part of a network: a program that takes and gives int32 sequences.

Its function `run` is called as that of other programs (`qdeploy.cpu.program.program.emit`). In the
arena lie, for all sequences of a call, the memory of the layer's own function, then its int64
inputs, outputs and states.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qdeploy.cpu.custom_op.glue import Signature, emit_operator
from qdeploy.cpu.kernels.code import BYTE, LONG, POINTER, WORD, Code, Value
from qdeploy.cpu.kernels.compilation import compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.lstm.program import ENTRIES, LstmPlanner
from qdeploy.cpu.parts import Part
from qdeploy.cpu.program.boundary import INT32, Argument
from qdeploy.cpu.program.compiled import CompiledProgram
from qdeploy.cpu.program.constants import ALIGNMENT, SLACK
from qdeploy.cpu.program.planning import NoKernel
from qdeploy.cpu.program.program import ARGUMENTS, emit_run
from qdeploy.errors import UserError
from qdeploy.integer import Lstm, LstmLayer

_MOST_SEQUENCES = 64
_ARENA_BYTES = 8 << 20


def compile_sequences(part: Part, target: Target) -> CompiledProgram:
    """Compile a part that is an LSTM alone.

    Raises:
        NoKernel: if the layer is wider than the kernels.
    """
    node = part.lstm
    assert node is not None
    steps = part.network.tensors[node.input].shape[0]
    planner = planned(node, target)
    module = planner.module()
    plan = _Sequences(planner, steps)
    emit_run(module, plan, plan.sequence(module))
    signature = Signature(
        inputs=plan.inputs,
        outputs=plan.outputs,
        image_bytes=plan.image_bytes,
        images=max(1, min(_MOST_SEQUENCES, _ARENA_BYTES // plan.image_bytes)),
        slack=SLACK,
    )
    emit_operator(module, module.globals["run"], signature)
    code = compile_object(module, target)
    return CompiledProgram(code, planner.constants.block(), bytes(plan.image_bytes), signature)


def planned(node: Lstm, target: Target) -> LstmPlanner:
    """The plan of a layer.

    Raises:
        NoKernel: if the layer is wider than the kernels.
    """
    try:
        return LstmPlanner(node.layer, target)
    except UserError as error:
        raise NoKernel(node.name, error.problem) from error


@dataclass(frozen=True)
class _Sequences:
    """The memory of a call and the code around the layer's own function."""

    planner: LstmPlanner
    length: int

    @property
    def layer(self) -> LstmLayer:
        return self.planner.layer

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """Codes of x."""
        return (Argument(INT32, (self.length, self.layer.input_size)),)

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """Codes of h."""
        return (Argument(INT32, (self.length, self.layer.hidden_size)),)

    @property
    def _own_bytes(self) -> int:
        """Of the layer's function, for a sequence."""
        return self.planner.sequence.size + self.planner.entry.size

    @property
    def _shared_bytes(self) -> int:
        """Of the layer's function, for all sequences together."""
        return ENTRIES * self.planner.entry.size

    @property
    def image_bytes(self) -> int:
        """Memory of a sequence, and of what all share, since parts of a call share nothing."""
        size, inputs = self.layer.hidden_size, self.layer.input_size
        integers = 8 * (self.length * (inputs + size) + 3 * size)
        total = self._own_bytes + self._shared_bytes + integers
        return -(-total // ALIGNMENT) * ALIGNMENT

    def sequence(self, module: ir.Module) -> ir.Function:
        """Copies inputs, calls the layer's function and copies outputs; arguments as of `run`."""
        layer, length = self.layer, self.length
        size, inputs = layer.hidden_size, layer.input_size
        code = Code(module, "sequence", ARGUMENTS)
        build = code.build
        constants, arena, images, tensors = code.arguments[:4]
        given, made = (code.load(POINTER, tensors, place, align=8) for place in (0, 8))
        x = code.at(arena, code.scaled(images, self._own_bytes, self._shared_bytes))
        h = code.at(x, code.scaled(images, 8 * length * inputs))
        c = code.at(h, code.scaled(images, 8 * size))
        last = code.at(c, code.scaled(images, 8 * size))
        outputs = code.at(last, code.scaled(images, 8 * size))
        _clear(code, arena, code.scaled(images, self._own_bytes, self._shared_bytes))
        _clear(code, h, code.scaled(images, 16 * size))
        low, high = (ir.Constant(WORD, end) for end in (layer.input.low, layer.input.high))
        with code.loop(images) as image, code.loop(length) as step, code.loop(inputs) as k:
            place = code.scaled(code.scaled(image, length, step), inputs, k)
            value = code.load(WORD, given, code.scaled(place, 4), align=4)
            value = build.select(build.icmp_signed("<", value, low), low, value)
            value = build.select(build.icmp_signed(">", value, high), high, value)
            turned = code.scaled(build.add(build.mul(step, images), image), inputs, k)
            code.store(build.sext(value, LONG), x, code.scaled(turned, 8), align=8)
        steps = code.long(length)
        own = module.globals["steps"]
        code.call(own, [constants, arena, images, steps, x, h, c, outputs, last])
        with code.loop(images) as image, code.loop(length) as step, code.loop(size) as k:
            turned = code.scaled(build.add(build.mul(step, images), image), size, k)
            value = code.load(LONG, outputs, code.scaled(turned, 8), align=8)
            place = code.scaled(code.scaled(image, length, step), size, k)
            code.store(build.trunc(value, WORD), made, code.scaled(place, 4), align=4)
        code.end()
        return code.function


def _clear(code: Code, start: Value, size: Value) -> None:
    with code.loop(size) as at:
        code.store(ir.Constant(BYTE, 0), start, at)
