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
    planes = [
        _expand_plane(graph, f"{layer}/expand/plane{index}", plane, dtype)
        for index, plane in enumerate(weights.planes)
    ]
    return planes[0] if len(planes) == 1 else graph.node("Sum", planes, f"{layer}/expand/sum")


def _expand_plane(graph: Graph, name: str, plane: Plane, dtype: FloatType) -> str:
    book = CodeBook.of(plane)
    packed = book.pack(plane.codes)[:, np.newaxis]
    places = graph.constant(f"{name}/places", np.array(book.byte_places, np.int32))
    radix = graph.constant(f"{name}/radix", np.array(book.radix, np.int32))
    value = graph.constant(f"{name}/packed", packed, np.int32)
    value = graph.node("Div", [value, places], f"{name}/shift")
    value = graph.node("Mod", [value, radix], f"{name}/digits")
    value = graph.cast(value, np.int32, dtype, f"{name}/real")
    value = _take(graph, name, value, (*plane.codes.shape, book.digits))
    code_places = graph.constant(f"{name}/code_places", np.array(book.code_places, dtype))
    offset = graph.constant(f"{name}/offset", np.array(book.offset, dtype))
    value = graph.node("MatMul", [value, code_places], f"{name}/number")
    value = graph.node("Add", [value, offset], f"{name}/codes")
    if plane.is_scaled:
        multipliers = graph.constant(f"{name}/multipliers", plane.multipliers, dtype)
        value = graph.node("Mul", [value, multipliers], f"{name}/scaled")
    return value


def _take(graph: Graph, name: str, value: str, shape: tuple[int, ...]) -> str:
    """The first elements of `value`, in C order, in `shape`; the rest is padding."""
    flat = graph.constant(f"{name}/flat_shape", np.array([-1]))
    start = graph.constant(f"{name}/start", np.array([0]))
    end = graph.constant(f"{name}/end", np.array([np.prod(shape)]))
    final = graph.constant(f"{name}/shape", np.array(shape))
    value = graph.node("Reshape", [value, flat], f"{name}/flat")
    value = graph.node("Slice", [value, start, end], f"{name}/unpadded")
    return graph.node("Reshape", [value, final], f"{name}/shaped")
