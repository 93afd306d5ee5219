# SPDX-License-Identifier: Apache-2.0
"""The corpus of hostile files: each entry damages one small valid network in one way.

Entries are functions without arguments that return a model, or the bytes of a file; the modules
`bad_...` register them here by name.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper
from qonnx_files import QonnxFile

Maker = Callable[[], onnx.ModelProto | bytes]
CORPUS: dict[str, Maker] = {}


def hostile(maker: Maker) -> Maker:
    """Add an entry under its function's name."""
    assert maker.__name__ not in CORPUS
    CORPUS[maker.__name__] = maker
    return maker


def content(maker: Maker) -> bytes:
    """The bytes of an entry's file."""
    made = maker()
    return made if isinstance(made, bytes) else made.SerializeToString()


def valid() -> onnx.ModelProto:
    """quant - conv 3x3 - BN - Relu - quant - max pool - flatten - Gemm, which lowers."""
    rng = np.random.default_rng(0)
    f = QonnxFile((2, 6, 6))
    x = f.quant("x", 0.125, 4, signed=0, name="/image/Quant")
    w = f.quant(f.constant(rng.normal(size=(4, 2, 3, 3))), 0.5, 2, narrow=1, name="/conv/w/Quant")
    y = f.node("Conv", x, w, name="/conv/Conv", pads=[1, 1, 1, 1])
    statistics = [rng.normal(size=4), rng.normal(size=4), rng.normal(size=4), rng.random(4) + 0.1]
    y = f.node("BatchNormalization", y, *map(f.constant, statistics), name="/bn/BN", epsilon=1e-3)
    y = f.quant(f.node("Relu", y, name="/act/Relu"), 0.25, 2, signed=0, name="/act/Quant")
    y = f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], name="/pool/MaxPool")
    y = f.node("Flatten", y, name="/Flatten")
    w = f.quant(f.constant(rng.normal(size=(5, 36))), 0.5, 2, narrow=1, name="/fc/w/Quant")
    y = f.node("Gemm", y, w, f.constant(rng.normal(size=5)), transB=1, name="/fc/Gemm")
    return f.model(y)


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node called `name`."""
    return next(n for n in model.graph.node if n.name == name)


def set_attribute(model: onnx.ModelProto, name: str, attribute: str, value: Any) -> onnx.ModelProto:
    """Give node `name` the attribute, in place of the one it has."""
    target = node(model, name)
    kept = [a for a in target.attribute if a.name != attribute]
    del target.attribute[:]
    target.attribute.extend([*kept, helper.make_attribute(attribute, value)])
    return model


def set_input(
    model: onnx.ModelProto, name: str, index: int, values: ArrayLike, dtype: Any = np.float32
) -> onnx.ModelProto:
    """Let input `index` of node `name` be a new initializer with these values."""
    tensor = numpy_helper.from_array(np.asarray(values, dtype), f"new_{name}_{index}")
    return set_tensor(model, name, index, tensor)


def set_tensor(
    model: onnx.ModelProto, name: str, index: int, tensor: onnx.TensorProto
) -> onnx.ModelProto:
    """Let input `index` of node `name` be `tensor`."""
    model.graph.initializer.append(tensor)
    node(model, name).input[index] = tensor.name
    return model


def insert(
    model: onnx.ModelProto, before: str, operator: str, *constants: str, **attributes: Any
) -> onnx.ModelProto:
    """Put a new node named "new" into the edge to the first input of node `before`."""
    reader = node(model, before)
    position = list(model.graph.node).index(reader)
    new = helper.make_node(
        operator, [reader.input[0], *constants], ["new"], name="new", **attributes
    )
    reader.input[0] = "new"
    model.graph.node.insert(position, new)
    return model


def add_constant(model: onnx.ModelProto, values: ArrayLike, dtype: Any = np.float32) -> str:
    """A new initializer; returns its name."""
    name = f"added_{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
    return name
