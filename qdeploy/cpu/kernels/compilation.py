# SPDX-License-Identifier: Apache-2.0
"""From a module in LLVM's language to machine code: an object file, and functions in memory."""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir

from qdeploy.cpu.kernels.targets import Target
from qdeploy.errors import InternalError


def compile_object(module: ir.Module, target: Target) -> bytes:
    """The object file (ELF) of `module` for `target`.

    Raises:
        InternalError: if LLVM refuses the module.
    """
    module.triple = target.triple
    machine = target.machine()
    module.data_layout = str(machine.target_data)
    try:
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM refuses generated code: {error}") from error
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_unrolling = False  # kernels are unrolled as far as registers reach
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    content: bytes = machine.emit_object(parsed)
    return content


class LoadedObject:
    """The functions of an object file in this process, as long as the instance lives."""

    def __init__(self, content: bytes, target: Target) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target.machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where the function `name` begins."""
        address: int = self._engine.get_function_address(name)
        if not address:
            raise InternalError(f"there is no function {name} in the compiled object")
        return address
