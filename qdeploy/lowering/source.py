# SPDX-License-Identifier: Apache-2.0
"""Read an untrusted ONNX file: size and structure checked before anything uses it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from qdeploy.errors import UserError
from qdeploy.lowering.datatypes import IntegerType, integer_type

MAXIMUM_FILE_BYTES = 2 << 30
MAXIMUM_ELEMENTS = 1 << 29
QONNX_DOMAIN = "qonnx.custom_op.general"
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
_OTHER_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", CHANNELS_LAST_DOMAIN)
# ONNX Runtime keeps 4 and 16 bits there in files of older operator sets.
RUNTIME_DOMAIN = "com.microsoft"
LINEAR_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
QUANTIZERS = ("Quant", "BipolarQuant", "Trunc", "MultiThreshold")
# Folders inside a Brevitas layer that the exporter puts into node names.
_INNER_SCOPES = {
    "export_handler",
    *(f"{what}_quant" for what in ("weight", "act", "input", "bias", "output", "trunc")),
}
_INDICES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_NAME_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True, eq=False)
class Source:
    """A checked ONNX graph.

    Attributes:
        name: the graph's or file's name.
        nodes: nodes in topological order.
        constants: initializers by name.
        input: name of the one real input.
        input_shape: its shape without the batch axis.
        output: name of the one output.
        uses: how many nodes (and the output) read each tensor.
        readers: the nodes that read each tensor.
        input_type: set if the file, or the user, says which numbers the input holds.
        indices: whether the input holds integers, as rows of an embedding are chosen by.
    """

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, NDArray[np.generic]]
    input: str
    input_shape: tuple[int, ...]
    output: str
    uses: Counter[str]
    readers: dict[str, list[onnx.NodeProto]]
    input_type: IntegerType | None = None
    indices: bool = False


def read(path: Path) -> Source:
    """Parse and check `path`.

    Raises:
        UserError: if the file is missing, no ONNX model, damaged, inconsistent, or not one real
            input and one output.
    """
    model = parse(path)
    graph = model.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise UserError(
            f"{path.name} has {len(inputs)} inputs and {len(graph.output)} outputs",
            remedy="export a model with one input and one output",
        )
    nodes = _sorted(graph, set(constants) | {inputs[0].name})
    uses = Counter(name for node in nodes for name in node.input)
    uses[graph.output[0].name] += 1
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in set(node.input):
            readers.setdefault(name, []).append(node)
    return Source(
        name=path.stem,
        nodes=nodes,
        constants=constants,
        input=inputs[0].name,
        input_shape=_input_shape(inputs[0]),
        output=graph.output[0].name,
        uses=uses,
        readers=readers,
        input_type=_annotated_type(graph, inputs[0].name),
        indices=inputs[0].type.tensor_type.elem_type in _INDICES,
    )


def layer_name(node: onnx.NodeProto) -> str:
    """Name of a node's layer as in the PyTorch model, read from what the exporter wrote.

    torch.export lists the modules around a node; else the node's name
    "/layer1/layer1.0/conv1/Conv" becomes "layer1.0.conv1", and "MatMul_20" stays.
    """
    if module := _module(node):
        return module
    name = node.name or f"{node.op_type}_{node.output[0]}"
    scopes = name.strip("/").split("/")
    if len(scopes) == 1:
        return scopes[0]
    path = ""
    for scope in scopes[:-1]:
        if scope in _INNER_SCOPES:
            break
        last = path.rsplit(".", maxsplit=1)[-1]
        if path and scope.startswith(f"{path}."):
            path = scope
        elif path and scope.startswith(f"{last}."):
            path = path.removesuffix(last) + scope
        else:
            path = f"{path}.{scope}" if path else scope
    return path or re.sub(r"\W+", "_", name.strip("/"))


def _module(node: onnx.NodeProto) -> str:
    """The innermost layer of torch.export's "['', 'features', 'features.0', 'conv2d']"; or ""."""
    listed = next((p.value for p in node.metadata_props if p.key == _NAME_SCOPES), "")
    module = ""
    for scope in re.findall(r"'([\w.]*)'", listed)[:-1]:
        if _INNER_SCOPES.intersection(scope.split(".")):
            break
        module = scope
    return module


def parse(path: Path) -> onnx.ModelProto:
    """The valid ONNX model in `path`, its quantizers in the domain of QONNX.

    Raises:
        UserError: if the file is missing, damaged, or no valid ONNX.
    """
    remedy = "export the model again with 'qdeploy export' or Brevitas' export_qonnx"
    try:
        size = path.stat().st_size
        if size > MAXIMUM_FILE_BYTES:
            raise UserError(f"{path.name} has {size} bytes; 2 GiB is the limit", remedy=remedy)
        model = onnx.ModelProto()
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", remedy="check the path") from error
    except DecodeError as error:
        raise UserError(f"{path.name} is truncated or not an ONNX file", remedy=remedy) from error
    if not model.graph.node or not model.graph.output:
        raise UserError(f"{path.name} holds no ONNX graph", remedy=remedy)
    if not all(_has_text_names(part) for part in _parts(model.graph)):
        raise UserError(f"{path.name} has names that are no text", remedy=remedy)
    _unify_domains(model)
    _refuse_foreign(model, path.name)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"{path.name} is not valid ONNX: {first_line}", remedy=remedy) from error
    return model


def _parts(graph: onnx.GraphProto) -> list[onnx.NodeProto | onnx.TensorProto | onnx.ValueInfoProto]:
    return [*graph.node, *graph.initializer, *graph.input, *graph.output]


def _has_text_names(part: onnx.NodeProto | onnx.TensorProto | onnx.ValueInfoProto) -> bool:
    """Protobuf hands out bytes where a damaged file's names are not UTF-8."""
    names = [part.name]
    if isinstance(part, onnx.NodeProto):
        names += [part.op_type, part.domain, *part.input, *part.output]
        names += [attribute.name for attribute in part.attribute]
    return all(isinstance(name, str) for name in names)


def _unify_domains(model: onnx.ModelProto) -> None:
    """Put quantizers into the domain of QONNX and import it, or into ONNX's own.

    Old exporters left them in ONNX's own domain or in one of theirs, often without importing it.
    """
    for node in model.graph.node:
        if node.op_type in QUANTIZERS:
            node.domain = QONNX_DOMAIN
        elif node.domain == RUNTIME_DOMAIN and node.op_type in LINEAR_QUANTIZERS:
            node.domain = ""
    imported = {entry.domain for entry in model.opset_import}
    used = {node.domain for node in model.graph.node} & {QONNX_DOMAIN, *_OTHER_DOMAINS}
    for domain in sorted(used - imported):
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))


def _refuse_foreign(model: onnx.ModelProto, name: str) -> None:
    """Own functions and other domains may give known operator names another meaning."""
    remedy = "export a model of ONNX and QONNX operators only"
    if model.functions:
        raise UserError(f"{name} defines functions of its own", remedy=remedy)
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx", QONNX_DOMAIN, *_OTHER_DOMAINS):
            raise UserError(
                f"operator {node.op_type} (node '{node.name}') of domain '{node.domain}'",
                layer=layer_name(node),
                remedy=remedy,
            )
        if any(attribute.ref_attr_name for attribute in node.attribute):
            raise UserError(
                f"{node.op_type} (node '{node.name}') refers to attributes of a function",
                layer=layer_name(node),
                remedy=remedy,
            )


def _annotated_type(graph: onnx.GraphProto, tensor: str) -> IntegerType | None:
    """The integers that FINN's annotation promises for `tensor`; None if there is none."""
    for annotation in graph.quantization_annotation:
        if annotation.tensor_name != tensor:
            continue
        for entry in annotation.quant_parameter_tensor_names:
            if entry.key == "finn_datatype":
                return integer_type(str(entry.value))
    return None


def _array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError(
            f"initializer '{tensor.name}' lies in another file",
            remedy="save the model as one file (onnx.save without external data)",
        )
    elements = 1
    for dimension in tensor.dims:
        elements *= dimension
    if not 0 <= elements <= MAXIMUM_ELEMENTS:
        raise UserError(
            f"initializer '{tensor.name}' claims the shape {list(tensor.dims)}",
            remedy="the file is damaged or too large; export it again",
        )
    try:
        array: NDArray[np.generic] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"initializer '{tensor.name}' is damaged: {error}", remedy="export the model again"
        ) from error
    return array


def _sorted(graph: onnx.GraphProto, known: set[str]) -> tuple[onnx.NodeProto, ...]:
    """The nodes that the output needs, inputs before users (the checker refuses other orders).

    Constants come first, so that every handler can look at those of the nodes behind it.
    """
    needed = {graph.output[0].name}
    chosen = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            chosen.append(node)
            needed.update(name for name in node.input if name)
    produced = {name for node in chosen for name in node.output}
    dangling = sorted(needed - produced - known)
    if dangling:
        raise UserError(f"nothing produces tensor '{dangling[0]}'", remedy="export the model again")
    chosen.reverse()
    return tuple(sorted(chosen, key=lambda node: node.op_type != "Constant"))


def _input_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    if value.type.tensor_type.elem_type not in (onnx.TensorProto.FLOAT, *_INDICES):
        raise UserError(
            f"input '{value.name}' is neither float32 nor int64",
            remedy="export the model with a float32 input, or with int64 indices",
        )
    shape = tuple(dimension.dim_value for dimension in dimensions[1:])
    if not shape or not all(0 < size <= 1 << 20 for size in shape):
        raise UserError(
            f"input '{value.name}' has no usable shape: "
            f"{[d.dim_value or d.dim_param or '?' for d in dimensions]}",
            remedy="export with a fixed shape; only the first (batch) axis may be dynamic",
        )
    return shape
