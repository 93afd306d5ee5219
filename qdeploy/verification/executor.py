# SPDX-License-Identifier: Apache-2.0
"""The public executor of QONNX files, in float32."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.errors import ToolError


def execute_float32(
    model: onnx.ModelProto, x: Iterable[NDArray[np.float32]]
) -> Iterator[NDArray[Any]]:
    """The output [1, ...] for each sample [...] of x, one by one, by `qonnx.core.onnx_exec`.

    Raises:
        ToolError: if qonnx is not installed or cannot execute the file.
    """
    try:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes
    except ImportError as error:
        raise ToolError(
            "qonnx", "the package is not installed", remedy="pip install qonnx"
        ) from error
    with _quiet():
        wrapper: Any = ModelWrapper(model)
        name, output = wrapper.graph.input[0].name, wrapper.graph.output[0].name
    prepared = False
    for sample in x:
        with _quiet():
            try:
                if not prepared:
                    wrapper.set_tensor_shape(name, [1, *sample.shape])
                    wrapper = wrapper.transform(InferShapes())
                    prepared = True
                result = execute_onnx(wrapper, {name: sample[np.newaxis]})[output]
            except Exception as error:
                reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
                raise ToolError(
                    "qonnx", f"it cannot execute the file: {reason[0]}", remedy="none is needed"
                ) from error
        yield np.asarray(result)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of shapes that the executor would have guessed otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(previous)
