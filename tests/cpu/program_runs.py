# SPDX-License-Identifier: Apache-2.0
"""Programs run in buffers between guard pages, compared with the numpy reference."""

import ctypes
import mmap
from dataclasses import dataclass

import numpy as np

from qdeploy import integer
from qdeploy.cpu.kernels.compilation import LoadedObject, compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.parts import Part, whole
from qdeploy.cpu.program.boundary import Argument
from qdeploy.cpu.program.compiled import CompiledProgram
from qdeploy.cpu.program.planning import Plan, plan
from qdeploy.cpu.program.program import arena, emit
from qdeploy.integer import IntegerNetwork

_CANARY = 0xA5
_TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 11: np.float64}  # of onnx.TensorProto
_LIBC = ctypes.CDLL(None, use_errno=True)


@ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_long)
def _backwards(context: int, function: int, argument: int, parts: int) -> None:
    """Every part, the last one first."""
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)(function)
    for part in reversed(range(parts)):
        call(argument, part)


@dataclass
class Program:
    """The machine code of a part of a network in this process."""

    plan: Plan
    loaded: LoadedObject

    @classmethod
    def of(cls, part: Part, target: Target) -> "Program":
        steps = plan(part, target)
        return cls(steps, LoadedObject(compile_object(emit(steps, target), target), target))

    def run(self, inputs: list[np.ndarray], parts: int, *, late: bool) -> list[np.ndarray]:
        """The outputs, from buffers that all end (or, not `late`, begin) at a guard page."""
        memory = arena(self.plan, len(inputs[0]))
        call = _Call(self.loaded, self.plan.constants, memory, self.plan.outputs)
        return call.run(inputs, parts, late=late)


def run_compiled(
    program: CompiledProgram, target: Target, inputs: list[np.ndarray], parts: int, *, late: bool
) -> list[np.ndarray]:
    """As `Program.run`, of a program with its operator."""
    images = len(inputs[0])
    blank = np.frombuffer(program.blank, np.uint8)
    memory = np.concatenate([np.tile(blank, images), np.zeros(program.signature.slack, np.uint8)])
    loaded = LoadedObject(program.code, target)
    call = _Call(loaded, program.constants, memory, program.signature.outputs)
    return call.run(inputs, parts, late=late)


@dataclass
class _Call:
    loaded: LoadedObject
    constants: bytes
    arena: np.ndarray
    outputs: tuple[Argument, ...]

    def run(self, inputs: list[np.ndarray], parts: int, *, late: bool) -> list[np.ndarray]:
        images = len(inputs[0])
        constants = np.frombuffer(self.constants, np.uint8)
        block, working = (Guarded(values, late=late) for values in (constants, self.arena))
        given = [Guarded(values, late=late) for values in inputs]
        made = [
            Guarded(np.zeros((images, *argument.shape), _TYPES[argument.type]), late=late)
            for argument in self.outputs
        ]
        kinds = [ctypes.c_void_p] * 2 + [ctypes.c_long] + [ctypes.c_void_p] * 3 + [ctypes.c_long]
        function = ctypes.CFUNCTYPE(None, *kinds)(self.loaded.address("run"))
        tensors = (ctypes.c_void_p * len(given + made))(*(t.address for t in given + made))
        arguments = [block.address, working.address, images, tensors]
        function(*arguments, ctypes.cast(_backwards, ctypes.c_void_p), None, parts)
        working.read()
        assert np.array_equal(block.read(), constants)
        for values, tensor in zip(inputs, given, strict=True):
            assert np.array_equal(tensor.read(), values, equal_nan=True)
        return [tensor.read() for tensor in made]


class Guarded:
    """A copy of an array between two pages that nobody may touch."""

    def __init__(self, values: np.ndarray, *, late: bool) -> None:
        self.values = values
        pages = -(-values.nbytes // mmap.PAGESIZE)
        self.memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
        self.bytes = np.frombuffer(self.memory, np.uint8)
        start = self.bytes.ctypes.data
        for page in (start, start + (pages + 1) * mmap.PAGESIZE):
            assert _LIBC.mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, 0) == 0  # PROT_NONE
        self.inside = self.bytes[mmap.PAGESIZE : (pages + 1) * mmap.PAGESIZE]
        self.inside[:] = _CANARY
        self.at = len(self.inside) - values.nbytes if late else 0
        self.part = self.inside[self.at : self.at + values.nbytes]
        self.part[:] = np.frombuffer(values.tobytes(), np.uint8)
        self.address = self.part.ctypes.data

    def read(self) -> np.ndarray:
        """The array as it is now; nothing around it has changed."""
        around = self.inside.copy()
        around[self.at : self.at + self.values.nbytes] = _CANARY
        assert (around == _CANARY).all()
        return self.part.copy().view(self.values.dtype).reshape(self.values.shape)


def assert_exact(network: IntegerNetwork, target: Target, x: np.ndarray) -> None:
    """The program gives the reference's integers and reals, and touches nothing else."""
    expected = integer.run_codes(network, network.quantizer.quantize(x))
    assert_part_exact(whole(network), target, x, expected)


def assert_part_exact(
    part: Part, target: Target, x: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    """As `assert_exact`; `x` is the network's input, `expected` its tensors."""
    network, program = part.network, Program.of(part, target)
    inputs = [x] if part.begins else [expected[name].astype(np.int32) for name in part.inputs]
    for parts, late in ((1, False), (3, True)):
        outputs = iter(program.run(inputs, parts, late=late))
        for name in part.outputs:
            if name == network.output and not network.output_function:
                assert np.array_equal(next(outputs), network.real_output(expected[name]))
            elif name == network.output:
                next(outputs)  # the function behind it is ONNX Runtime's
            assert np.array_equal(next(outputs), expected[name])
