# SPDX-License-Identifier: Apache-2.0
"""Sessions of ONNX Runtime as contenders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

_FLOAT_OPERATORS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


def session_options(threads: int) -> Any:
    """Options of an onnxruntime session with `threads` threads, silent."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return options


def session(content: bytes, options: Any) -> Any:
    """An onnxruntime.InferenceSession on the CPU."""
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def call_of(loaded: Any, x: NDArray[np.float32]) -> Callable[[], object]:
    """A call that runs a session on `x` to its first output, with nothing done in Python."""
    binding = loaded.io_binding()
    binding.bind_cpu_input(loaded.get_inputs()[0].name, x)
    binding.bind_output(loaded.get_outputs()[0].name)
    return lambda: loaded.run_with_iobinding(binding)


def layers_in_float(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the layers that ONNX Runtime multiplies in float32 once it has optimized a model."""
    options = session_options(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        session(model.SerializeToString(), options)
        nodes = onnx.load(path).graph.node
    return tuple(node.name for node in nodes if node.op_type in _FLOAT_OPERATORS)
