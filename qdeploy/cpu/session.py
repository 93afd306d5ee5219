# SPDX-License-Identifier: Apache-2.0
"""Running a packed model with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from qdeploy.cpu.fast import NoFastForm, use_kernels
from qdeploy.cpu.portable.graph import PRODUCER
from qdeploy.errors import UserError
from qdeploy.integer import Integers
from qdeploy.real_values import checked_input

# Larger batches are slower per image, since intermediate tensors leave the caches.
IMAGES_PER_CALL = 16
# ONNX Runtime's exceptions have no common base but Exception.
_LOAD_ERRORS = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)


class Session:
    """A packed model, loaded in its fast form if this machine has one, else in the portable one.

    Both give the same integers.

    Args:
        path: a file written by `pack`.
        threads: threads within an operator; 0 takes one per core.
        portable: take the portable form.

    Attributes:
        form: which one it is, and why, for people.
        fast: whether it is the fast one, of all of the network or of parts.

    Raises:
        UserError: if the file is missing, damaged or not written by `pack`.
    """

    def __init__(self, path: Path, threads: int = 0, *, portable: bool = False) -> None:
        again = "write it again with 'qdeploy compile'"
        if not path.is_file():
            raise UserError(f"there is no file {path}", remedy=again)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self.form, self.fast = "portable form", False
        if not portable:
            try:
                self.form = use_kernels(options, path.read_bytes(), threads)
                self.fast = True
            except (NoFastForm, UserError) as why:
                self.form = f"portable form ({str(why).splitlines()[0]})"
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except _LOAD_ERRORS as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} is damaged or no ONNX model: {reason}", remedy=again
            ) from error
        if self._session.get_modelmeta().producer_name != PRODUCER:
            raise UserError(f"{path} was not written by qdeploy", remedy=again)

    def run(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs [N, ...] in the model's own units and layout to its real outputs [N, ...].

        A missing batch axis is added. `x` is taken as float32.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        return self._outputs(x, 0)

    def run_integers(self, x: ArrayLike) -> Integers:
        """Like `run`, but to the exact integer outputs, int64."""
        return self._outputs(x, 1)

    def _outputs(self, x: ArrayLike, index: int) -> NDArray[Any]:
        taken, name = self._session.get_inputs()[0], self._session.get_outputs()[index].name
        values = checked_input(x, tuple(taken.shape[1:]))
        # Some operators of ONNX Runtime refuse a batch of no images.
        fed = values if len(values) else np.zeros((1, *values.shape[1:]), np.float32)
        parts = [
            self._session.run([name], {taken.name: fed[start : start + IMAGES_PER_CALL]})[0]
            for start in range(0, len(fed), IMAGES_PER_CALL)
        ]
        return np.concatenate(parts)[: len(values)]
