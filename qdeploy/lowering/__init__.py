# SPDX-License-Identifier: Apache-2.0
"""QONNX to the integer network: one forward walk, exact from the first node on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qdeploy.integer import IntegerNetwork

ResultKind = Literal["logits", "class"]


def lower(path: Path, result: ResultKind = "logits") -> IntegerNetwork:
    """Lower a QONNX file.

    Args:
        path: ONNX file with Quant / BipolarQuant nodes.
        result: "logits" as the file gives them, or "class": the index of the largest.

    Returns:
        The integer network, whose numpy reference is the meaning every back end must reproduce.

    Raises:
        UserError: if the file is damaged or a layer cannot become integers; names the layer.
    """
    from qdeploy.lowering import affine, linear, quantizers, shapes  # noqa: F401 (handlers)
    from qdeploy.lowering.source import read
    from qdeploy.lowering.walk import Walk

    walk = Walk(read(Path(path)))
    output = walk.run()
    if result == "class":
        output = shapes.choose_class(walk, output, walk.unique("class"))
    return walk.network(output)
