# SPDX-License-Identifier: Apache-2.0
"""ONNX nodes that expand packed codes into weights.

They have constant inputs only, so ONNX Runtime folds them when it loads the file: packed on disk,
ordinary floating-point weights in memory. DequantizeLinear would say the same in one node, but
constant folding skips it.
"""

from __future__ import annotations

import numpy as np

from qdeploy.cpu.exactness import FloatType
from qdeploy.cpu.graph import Graph
from qdeploy.cpu.packing import CodeBook
from qdeploy.integer import Plane, Weights


def expand(graph: Graph, layer: str, weights: Weights, dtype: FloatType) -> str:
    """The integer weights of `layer` in type `dtype`, shape of the codes."""
    if len(weights.planes) == 1:
        return _expand_plane(graph, f"{layer}/expand", weights.planes[0], dtype)
    planes = [
        _expand_plane(graph, f"{layer}/expand/plane{index}", plane, dtype)
        for index, plane in enumerate(weights.planes)
    ]
    return graph.node("Sum", planes, f"{layer}/expand/sum")


def _expand_plane(graph: Graph, name: str, plane: Plane, dtype: FloatType) -> str:
    book = CodeBook.of(plane)
    count, shape = plane.codes.size * book.digits, (*plane.codes.shape, book.digits)
    byte_places = graph.shared(f"radix{book.radix}/places", np.array(book.byte_places, np.int32))
    radix = graph.shared(f"radix{book.radix}", np.array(book.radix, np.int32))
    # [bytes, 1] to [bytes, digits of a byte] to the shape of the codes with their digits behind.
    value = graph.constant(f"{name}/packed", book.pack(plane.codes)[:, np.newaxis], np.int32)
    value = graph.node("Div", [value, byte_places], f"{name}/shift")
    value = graph.node("Mod", [value, radix], f"{name}/digits")
    value = graph.cast(value, np.int32, dtype, f"{name}/float")
    value = graph.node("Reshape", [value, graph.shared("flat", np.array([-1]))], f"{name}/flat")
    end = graph.constant(f"{name}/count", np.array([count]))
    value = graph.node("Slice", [value, graph.shared("start", np.array([0])), end], f"{name}/unpad")
    value = graph.node(
        "Reshape", [value, graph.constant(f"{name}/shape", np.array(shape))], f"{name}/reshape"
    )
    code_places = graph.constant(f"{name}/places", np.array(book.code_places, dtype))
    value = graph.node("MatMul", [value, code_places], f"{name}/numbers")
    offset = graph.constant(f"{name}/offset", np.array(book.offset, dtype))
    value = graph.node("Add", [value, offset], f"{name}/codes")
    if plane.is_scaled:
        multipliers = graph.constant(f"{name}/multipliers", plane.multipliers, dtype)
        value = graph.node("Mul", [value, multipliers], f"{name}/scale")
    return value
