# SPDX-License-Identifier: Apache-2.0
"""Giving a compiled program to ONNX Runtime."""

from __future__ import annotations

import ctypes
import platform
import tempfile
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
        program: what it computes: from float32 to float32 and int64.
        target: that the program was compiled for.
        input_types: ONNX types of all inputs of the node, of which only the first is read.
        threads: into how many parts long work is divided, as many as the session has threads.
    """

    _alive: list[Operator] = []  # noqa: RUF012 (one list for all)

    def __init__(
        self,
        name: str,
        program: CompiledProgram,
        target: Target,
        input_types: list[int],
        threads: int,
    ) -> None:
        self._loaded = LoadedObject(program.code, target)
        self._kept: list[Any] = []
        self._state = abi.State(
            domain=self._text(DOMAIN),
            constants=self._aligned(program.constants),
            blank=self._aligned(program.blank),
            threads=threads,
        )
        output_types = [_FLOAT, _INT64]
        self._operator = abi.CustomOp(
            version=abi.VERSION,
            name=self._text(name),
            execution_provider=self._text("CPUExecutionProvider"),
            input_types=self._numbers(input_types),
            output_types=self._numbers(output_types),
            input_count=len(input_types),
            output_count=len(output_types),
            state=ctypes.addressof(self._state),
        )
        for callback in abi.CALLBACKS:
            setattr(self._operator, callback, self._loaded.address(callback))
        self._alive.append(self)

    def register(self, options: Any) -> None:
        """Add the operator to `options`, an onnxruntime.SessionOptions."""
        library = stub_library(
            self._loaded.address("register_operator"),
            ctypes.addressof(self._operator),
            platform.machine(),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "qdeploy.so"
            path.write_bytes(library)
            options.register_custom_ops_library(str(path))

    def _text(self, text: str) -> int:
        return self._keep(ctypes.create_string_buffer(text.encode()))

    def _numbers(self, numbers: list[int]) -> int:
        return self._keep((ctypes.c_int * len(numbers))(*numbers))

    def _keep(self, buffer: Any) -> int:
        self._kept.append(buffer)
        return ctypes.addressof(buffer)

    def _aligned(self, content: bytes) -> int:
        copy = aligned_copy(content)
        self._kept.append(copy)
        return int(copy.ctypes.data)


_FLOAT, _INT64 = 1, 7  # onnx.TensorProto
