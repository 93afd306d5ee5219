# SPDX-License-Identifier: Apache-2.0
"""QONNX to the integer network: one forward walk, exact from the first node on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qdeploy.integer import IntegerNetwork

if TYPE_CHECKING:
    from qdeploy.lowering.walk import Walk

ResultKind = Literal["logits", "class"]


def lower(
    path: Path,
    result: ResultKind = "logits",
    rescale_bits: int | None = None,
    input_type: str | None = None,
) -> IntegerNetwork:
    """Lower a QONNX file.

    Args:
        path: ONNX file with Quant / BipolarQuant nodes.
        result: "logits" as the file gives them, or "class": the index of the largest.
        rescale_bits: round the ratio of the scales of branches that meet to integers of so many
            bits where it is no small rational; None refuses such branches.
        input_type: which numbers the input holds, if the file has no quantizer for it: "uint8/255"
            for integers 0..255 divided by 255, "int8", "fixed<16,6>"; None refuses such files.

    Returns:
        The integer network, whose numpy reference is the meaning every back end must reproduce.

    Raises:
        UserError: if the file is damaged or a layer cannot become integers; names the layer.
    """
    from qdeploy.lowering.outputs import choose_class

    walk = start(path, rescale_bits, input_type)
    output = walk.run()
    if result == "class":
        output = choose_class(walk, output, "class")
    return walk.network(output)


def start(path: Path, rescale_bits: int | None = None, input_type: str | None = None) -> Walk:
    """The walk over a file, before its first node; arguments as in `lower`.

    Raises:
        UserError: if the file is damaged, or the input's type is none.
    """
    from qdeploy.lowering import (  # noqa: F401 (their handlers register themselves)
        affine,
        branches,
        constants,
        datatypes,
        embedding,
        functions,
        linear,
        multithreshold,
        outputs,
        parts,
        pooling,
        qcdq,
        quantizers,
        recurrent,
        resize,
        shapes,
        sign,
        transposed,
        trunc,
    )
    from qdeploy.lowering.source import read
    from qdeploy.lowering.walk import Walk

    source = read(Path(path))
    if input_type is not None:
        source = replace(source, input_type=datatypes.input_type(input_type))
    return Walk(source, rescale_bits)
