# SPDX-License-Identifier: Apache-2.0
"""Writing the packed model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from qdeploy.cpu.packing import float_bytes, weight_bytes
from qdeploy.cpu.portable.emission import to_onnx
from qdeploy.errors import InternalError
from qdeploy.files import atomic_file
from qdeploy.integer import IntegerNetwork


@dataclass(frozen=True)
class PackedModel:
    """A written `cpu.onnx` and its sizes.

    Attributes:
        path: the file.
        file_bytes: size of the file.
        weight_bytes: bytes of packed weight codes in it.
        float_bytes: bytes that the weights of the source file take as float32.
    """

    path: Path
    file_bytes: int
    weight_bytes: int
    float_bytes: int


def pack(network: IntegerNetwork, path: Path) -> PackedModel:
    """Write `network` to `path` as an ONNX model with bit-packed weights (opset 17, IR version 8).

    Stock ONNX Runtime runs it and computes exactly the integers of `qdeploy.integer.run`. What it
    does with NaN inputs is not specified.

    Raises:
        UserError: if a layer's sums do not fit float64, or the folder of `path` cannot be made.
    """
    model = to_onnx(network)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InternalError(f"the packed model is no valid ONNX: {error}") from error
    content = model.SerializeToString(deterministic=True)
    with atomic_file(path) as partial:
        partial.write_bytes(content)
    return PackedModel(path, len(content), weight_bytes(network), float_bytes(network))
