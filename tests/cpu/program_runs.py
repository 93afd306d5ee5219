# SPDX-License-Identifier: Apache-2.0
"""Programs run in buffers between guard pages, compared with the numpy reference."""

import ctypes
import mmap
from dataclasses import dataclass

import numpy as np

from qdeploy import integer
from qdeploy.cpu.kernels.compilation import LoadedObject, compile_object
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.planning import Plan, plan
from qdeploy.cpu.program.program import arena, emit
from qdeploy.integer import IntegerNetwork

_CANARY = 0xA5
_LIBC = ctypes.CDLL(None, use_errno=True)


@ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_long)
def _backwards(context: int, function: int, argument: int, parts: int) -> None:
    """Every part, the last one first."""
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)(function)
    for part in reversed(range(parts)):
        call(argument, part)


@dataclass
class Program:
    """A network's machine code in this process."""

    network: IntegerNetwork
    plan: Plan
    loaded: LoadedObject

    @classmethod
    def of(cls, network: IntegerNetwork, target: Target) -> "Program":
        steps = plan(network, target)
        return cls(
            network, steps, LoadedObject(compile_object(emit(steps, target), target), target)
        )

    def run(self, x: np.ndarray, parts: int, *, late: bool) -> tuple[np.ndarray, np.ndarray]:
        """Reals and integers, from buffers that all end (or, not `late`, begin) at a guard page."""
        shape = (len(x), *self.network.output_tensor.shape)
        constants = np.frombuffer(self.plan.constants, np.uint8)
        memory = [
            Guarded(values, late=late)
            for values in (
                constants,
                arena(self.plan, len(x)),
                x,
                np.zeros(shape, np.float32),
                np.zeros(shape, np.int64),
            )
        ]
        block, working, image, reals, integers = (part.address for part in memory)
        kinds = [ctypes.c_void_p] * 2 + [ctypes.c_long] + [ctypes.c_void_p] * 5 + [ctypes.c_long]
        function = ctypes.CFUNCTYPE(None, *kinds)(self.loaded.address("run"))
        arguments = [block, working, len(x), image, reals, integers]
        function(*arguments, ctypes.cast(_backwards, ctypes.c_void_p), None, parts)
        results = [part.read() for part in memory]
        assert np.array_equal(results[0], constants)
        assert np.array_equal(results[2], x, equal_nan=True)
        return results[3], results[4]


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
    program = Program.of(network, target)
    expected = integer.run(network, x)
    for parts, late in ((1, False), (3, True)):
        reals, integers = program.run(x, parts, late=late)
        assert np.array_equal(integers, expected)
        assert np.array_equal(reals, network.real_output(expected))
