# SPDX-License-Identifier: Apache-2.0
"""What becomes of every node of a QONNX file and why, without building anything."""

from __future__ import annotations

from pathlib import Path

from qdeploy.explanation.contents import Explanation

__all__ = ["Explanation", "explain"]


def explain(
    path: Path,
    rescale_bits: int | None = None,
    input_type: str | None = None,
    *,
    cpu: bool = False,
    target: str | None = None,
) -> Explanation:
    """Explain how a QONNX file is lowered; problems of its layers are part of the answer.

    Args:
        path: QONNX file.
        rescale_bits: as in `qdeploy.lowering.lower`.
        input_type: as there.
        cpu: say also which kernel each layer gets on the CPU.
        target: on which kind of processor, by default this machine's.

    Raises:
        UserError: if the file itself is missing or damaged, or the target unknown.
    """
    from qdeploy.explanation.collect import collect
    from qdeploy.explanation.kernels import with_kernels
    from qdeploy.explanation.trace import Trace
    from qdeploy.lowering import start

    explanation, network = collect(Trace(start(path, rescale_bits, input_type)))
    return with_kernels(explanation, network, target) if cpu and network else explanation
