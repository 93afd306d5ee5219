# SPDX-License-Identifier: Apache-2.0
"""The fast form of a packed model: generated kernels in place of its functions."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from qdeploy.cpu.description import calls_of, read_parts
from qdeploy.errors import UserError

NO_LLVMLITE = "llvmlite is not installed"
_ANY = onnx.TensorProto.UNDEFINED
_MACHINES = ("x86_64", "aarch64")


class NoFastForm(Exception):  # noqa: N818 (it is no error: the portable form runs the model)
    """Why a model runs in its portable form here."""


def use_kernels(options: Any, content: bytes, threads: int = 0) -> str:
    """Let sessions of `options` run a packed model with generated kernels.

    Parts of the network without kernels stay with ONNX Runtime, and so do operators that were added
    before and after its functions.

    Args:
        options: an onnxruntime.SessionOptions.
        content: the model file.
        threads: as in the options, 0 for one per core.

    Returns:
        What runs it, for people: see `form_of`.

    Raises:
        UserError: if the file is no packed model.
        NoFastForm: if there are no kernels for this machine or the model; `options` stay then.
    """
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise NoFastForm(NO_LLVMLITE) from error
    from qdeploy.cpu.custom_op.registration import Operator, register
    from qdeploy.cpu.kernels.targets import host_targets
    from qdeploy.cpu.program.cache import cached_program
    from qdeploy.cpu.program.planning import NoKernel

    targets = host_targets()
    if platform.machine() not in _MACHINES or not targets:
        raise NoFastForm(f"there are no kernels for {llvm.get_host_cpu_name()} processors")
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise UserError("the file is no ONNX model", remedy="pack the network again") from error
    parts = cache(partial(read_parts, model))
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    workers = threads or len(os.sched_getaffinity(0))
    operators, missing = [], []
    for index, call in enumerate(calls_of(model)):
        name = call.op_type
        program = cached_program(parts, index, content, targets[0])
        if isinstance(program, NoKernel):
            missing.append(str(program))
            continue
        constants = [types.get(name, _ANY) for name in call.input[len(program.signature.inputs) :]]
        operators.append(Operator(name, program, targets[0], constants, workers))
    if not operators:
        raise NoFastForm(f"no kernel for {missing[0]}")
    register(operators, options)
    return form_of(targets[0].name, missing)


def form_of(target: str, missing: Iterable[str]) -> str:
    """The fast form in words: kernels for which target, and for each part without them, why."""
    return "; ".join([f"generated {target} kernels", *(f"no kernel for {why}" for why in missing)])
