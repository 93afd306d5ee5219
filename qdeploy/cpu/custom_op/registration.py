# SPDX-License-Identifier: Apache-2.0
"""Giving compiled programs to ONNX Runtime."""

from __future__ import annotations

import ctypes
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdeploy.cpu.custom_op import abi
from qdeploy.cpu.custom_op.library import stub_library
from qdeploy.cpu.description import DOMAIN
from qdeploy.cpu.kernels.compilation import LoadedObject
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.compiled import CompiledProgram
from qdeploy.cpu.program.constants import aligned_copy


class Operator:
    """A custom operator of domain `DOMAIN`, in this process until it ends.

    ONNX Runtime calls its functions as long as a session lives, at the end of the process too;
    so they are never unloaded.

    Args:
        name: of the operator.
        program: what it computes.
        target: that the program was compiled for.
        constant_types: ONNX types of the inputs behind those of the program, which are not read.
        threads: into how many parts long work is divided, as many as the session has threads.

    Attributes:
        loaded: its machine code.
        address: of its `abi.CustomOp`.
    """

    def __init__(
        self,
        name: str,
        program: CompiledProgram,
        target: Target,
        constant_types: list[int],
        threads: int,
    ) -> None:
        self.loaded = LoadedObject(program.code, target)
        signature, constants, blank = (
            program.signature,
            *map(aligned_copy, (program.constants, program.blank)),
        )
        state = abi.State(constants=constants.ctypes.data, blank=blank.ctypes.data, threads=threads)
        inputs = [*(argument.type for argument in signature.inputs), *constant_types]
        outputs = [argument.type for argument in signature.outputs]
        operator = abi.CustomOp(
            version=abi.VERSION,
            name=_kept(ctypes.create_string_buffer(name.encode())),
            execution_provider=_kept(ctypes.create_string_buffer(b"CPUExecutionProvider")),
            input_types=_kept((ctypes.c_int * len(inputs))(*inputs)),
            output_types=_kept((ctypes.c_int * len(outputs))(*outputs)),
            input_count=len(inputs),
            output_count=len(outputs),
            state=_kept(state),
        )
        for callback in abi.CALLBACKS:
            setattr(operator, callback, self.loaded.address(callback))
        self.address = _kept(operator)
        _ALIVE.extend((self.loaded, constants, blank))


def register(operators: Sequence[Operator], options: Any) -> None:
    """Add operators to `options`, an onnxruntime.SessionOptions."""
    addresses = [operator.address for operator in operators]
    table = abi.Operators(
        domain=_kept(ctypes.create_string_buffer(DOMAIN.encode())),
        count=len(addresses),
        table=_kept((ctypes.c_void_p * len(addresses))(*addresses)),
    )
    library = stub_library(
        operators[0].loaded.address("register_operators"), _kept(table), platform.machine()
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qdeploy.so"
        path.write_bytes(library)
        options.register_custom_ops_library(str(path))


_ALIVE: list[Any] = []


def _kept(value: Any) -> int:
    """The address of a ctypes object, which is kept until the process ends."""
    _ALIVE.append(value)
    return ctypes.addressof(value)
