# SPDX-License-Identifier: Apache-2.0
"""The fast form of a packed model: generated kernels in place of its function."""

from __future__ import annotations

import os
import platform
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from qdeploy.cpu.description import DOMAIN, FUNCTION, read_network
from qdeploy.errors import UserError

NO_LLVMLITE = "llvmlite is not installed"
_MACHINES = ("x86_64", "aarch64")


class NoFastForm(Exception):  # noqa: N818 (it is no error: the portable form runs the model)
    """Why a model runs in its portable form here."""


def use_kernels(options: Any, content: bytes, threads: int = 0) -> str:
    """Let sessions of `options` run a packed model with generated kernels.

    The model may have been changed around its function: operators before and after stay with
    ONNX Runtime.

    Args:
        options: an onnxruntime.SessionOptions.
        content: the model file.
        threads: as in the options, 0 for one per core.

    Returns:
        The kind of processor that the kernels are for.

    Raises:
        UserError: if the file is no packed model.
        NoFastForm: if this machine, or a layer of the model, has no kernels; `options` stay then.
    """
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise NoFastForm(NO_LLVMLITE) from error
    from qdeploy.cpu.custom_op.registration import Operator
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
    try:
        program = cached_program(lambda: read_network(model), content, targets[0])
    except NoKernel as error:
        raise NoFastForm(f"no kernel for {error}") from error
    workers = threads or len(os.sched_getaffinity(0))
    Operator(FUNCTION, program, targets[0], _input_types(model), workers).register(options)
    return targets[0].name


def _input_types(model: onnx.ModelProto) -> list[int]:
    """ONNX types of the inputs of the function's call: float32, then those of initializers."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    (call,) = (n for n in model.graph.node if (n.domain, n.op_type) == (DOMAIN, FUNCTION))
    return [onnx.TensorProto.FLOAT, *(types[name] for name in call.input[1:])]
