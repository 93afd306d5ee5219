# SPDX-License-Identifier: Apache-2.0
"""What becomes of every node of a QONNX file and why, without building anything."""

from __future__ import annotations

from pathlib import Path

from qdeploy.explanation.contents import Explanation

__all__ = ["Explanation", "explain"]


def explain(
    path: Path, rescale_bits: int | None = None, input_type: str | None = None
) -> Explanation:
    """Explain how a QONNX file is lowered; problems of its layers are part of the answer.

    Arguments as in `qdeploy.lowering.lower`.

    Raises:
        UserError: if the file itself is missing or damaged.
    """
    from qdeploy.explanation.collect import collect
    from qdeploy.explanation.trace import Trace
    from qdeploy.lowering import start

    return collect(Trace(start(path, rescale_bits, input_type)))
