# SPDX-License-Identifier: Apache-2.0
"""What becomes of every node of a QONNX file and why, without building anything."""

from __future__ import annotations

from pathlib import Path

from qdeploy.errors import UserError
from qdeploy.explanation.contents import Explanation
from qdeploy.integer import IntegerNetwork

__all__ = ["Explanation", "explain"]


def explain(path: Path) -> Explanation:
    """Explain how a QONNX file is lowered; problems of its layers are part of the answer.

    Raises:
        UserError: if the file itself is missing or damaged.
    """
    from qdeploy.explanation.collect import collect
    from qdeploy.explanation.trace import Trace
    from qdeploy.lowering import lower
    from qdeploy.lowering.source import read

    network: IntegerNetwork | None = None
    problem: UserError | None = None
    try:
        network = lower(path)
    except UserError as error:
        problem = error
    return collect(Trace(read(Path(path))), network, problem)
