# SPDX-License-Identifier: Apache-2.0
"""ONNX nodes that expand packed codes into weights.

They have constant inputs only, so ONNX Runtime folds them when it loads the file: packed on disk,
ordinary floating-point weights in memory. DequantizeLinear would say the same in one node, but
constant folding skips it. Each byte looks up its digits in a table of 256 rows; that is computed
from 0..255, once for all layers, because dividing every byte made loading 40 times slower.
"""

from __future__ import annotations

import numpy as np

from qdeploy.cpu.packing import CodeBook
from qdeploy.cpu.portable.exactness import FloatType
from qdeploy.cpu.portable.graph import Graph
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
    table = graph.once(
        f"expand/{book.name}/{dtype.__name__}",
        lambda label: _digit_values(graph, label, book, dtype),
    )
    digits = len(book.places)
    shape = plane.codes.shape if digits == 1 else (*plane.codes.shape, digits)
    content = book.pack(plane.codes)
    packed = graph.constant(f"{name}/packed", content, np.int32, of=plane.codes)
    target = graph.constant(f"{name}/shape", np.array(shape))
    value = graph.node("Gather", [table, packed], f"{name}/lookup")
    if plane.codes.size * digits < content.size * len(book.byte_places):
        start = graph.shared("start", np.array([0]))
        end = graph.constant(f"{name}/count", np.array([plane.codes.size * digits]))
        value = graph.node("Reshape", [value, graph.shared("flat", np.array([-1]))], f"{name}/flat")
        value = graph.node("Slice", [value, start, end], f"{name}/unpad")
    value = graph.node("Reshape", [value, target], f"{name}/codes")
    if digits > 1:
        places = graph.constant(f"{name}/places", np.array(book.places, dtype))
        value = graph.node("MatMul", [value, places], f"{name}/join")
    if plane.is_scaled:
        value = _scale(graph, name, value, plane, dtype)
    return value


def _scale(graph: Graph, name: str, value: str, plane: Plane, dtype: FloatType) -> str:
    """The codes `value` times their multipliers; groups of channels get an axis of their own."""
    if plane.group == 1:
        stored = plane.multipliers
        multipliers = graph.constant(f"{name}/multipliers", stored, dtype, of=stored)
        return graph.node("Mul", [value, multipliers], f"{name}/scale")
    outputs, _, *kernel = plane.codes.shape
    grouped = np.array([outputs, plane.multipliers.shape[1], plane.group, *kernel])
    spread = plane.multipliers[:, :, np.newaxis]
    multipliers = graph.constant(f"{name}/multipliers", spread, dtype, of=plane.multipliers)
    value = graph.node("Reshape", [value, graph.constant(f"{name}/groups", grouped)], name)
    value = graph.node("Mul", [value, multipliers], f"{name}/scale")
    shape = graph.constant(f"{name}/ungrouped", np.array(plane.codes.shape))
    return graph.node("Reshape", [value, shape], f"{name}/scaled")


def _digit_values(graph: Graph, name: str, book: CodeBook, dtype: FloatType) -> str:
    """The values of the digits of every byte, [256, digits of a byte]."""
    places = graph.constant(f"{name}/places", np.array(book.byte_places, np.int32))
    radix = graph.constant(f"{name}/radix", np.array(book.radix, np.int32))
    step = graph.constant(f"{name}/step", np.array(book.step, dtype))
    offset = graph.constant(f"{name}/offset", np.array(book.offset, dtype))
    value = graph.constant(f"{name}/bytes", np.arange(256)[:, np.newaxis], np.int32)
    value = graph.node("Div", [value, places], f"{name}/shift")
    value = graph.node("Mod", [value, radix], f"{name}/digits")
    value = graph.cast(value, np.int32, dtype, f"{name}/float")
    value = graph.node("Mul", [value, step], f"{name}/multiply")
    return graph.node("Add", [value, offset], f"{name}/add")
