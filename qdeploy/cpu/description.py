# SPDX-License-Identifier: Apache-2.0
"""How a packed model carries its integer network, so that another form can be made of the file.

The call of a part's function has the attribute `DESCRIPTION`: compressed JSON with the nodes of the
part, in the first also the input of the network and its output. Large arrays are not in it but are
inputs of the call, as numbers: initializers of the file, where they are packed, or ordered as the
portable form needs them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from qdeploy.cpu.packing import CodeBook
from qdeploy.cpu.parts import Part, joined
from qdeploy.errors import InternalError, UserError
from qdeploy.integer import (
    Builder,
    InputQuantizer,
    IntegerNetwork,
    Meaning,
    Node,
    OutputFunction,
    Threshold,
    ValueRange,
    weights_of,
)
from qdeploy.integer.storage import decode, encode

DOMAIN = "org.qdeploy"
FUNCTION = "Network"
DESCRIPTION = "network"
FORMAT_VERSION = 2
MOST_BYTES = 64 << 20
MOST_ELEMENTS = 1 << 28
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    InternalError,
    LookupError,
    TypeError,
    ValueError,
    zlib.error,
)
Array = NDArray[Any]


def describe(part: Part, stored: Mapping[int, int]) -> bytes:
    """The description of `part`.

    Args:
        part: of any network.
        stored: which input of the call holds an array of the network, by the array's id.
    """
    network, forms = part.network, dict(_forms(part.network))

    def put(array: Array) -> dict[str, Any]:
        place: Any = stored.get(id(array))
        if place is None:
            place = array.ravel().tolist()
        return {
            "array": place,
            "form": forms.get(id(array), ""),
            "type": array.dtype.name,
            "shape": array.shape,
        }

    document: dict[str, Any] = {"format": FORMAT_VERSION}
    if part.begins:
        document |= {
            "name": network.name,
            "input": network.input,
            "shape": network.input_tensor.shape,
            "input_name": network.input_name,
            "output": network.output,
            "output_name": network.output_name,
            "output_function": network.output_function,
            "meaning": encode(network.output_tensor.meaning, put),
            "quantizer": encode(network.quantizer, put),
        }
    document["nodes"] = [encode(node, put) for node in _needed(part, stored)]
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def _needed(part: Part, stored: Mapping[int, int]) -> Iterator[Node]:
    """The nodes without what changes nothing."""
    for node in part.nodes:
        node = replace(node, origin=())  # noqa: PLW2901
        if isinstance(node, Threshold) and id(node.thresholds) not in stored:
            x = part.network.tensors[node.input].range
            node = replace(node, thresholds=np.clip(node.thresholds, x.low, x.high + 1))  # noqa: PLW2901
        yield node


def calls_of(model: ModelProto) -> list[NodeProto]:
    """The calls of a packed model's functions, in order.

    Raises:
        UserError: if there are none, or two of one name.
    """
    calls = [node for node in model.graph.node if node.domain == DOMAIN]
    if not calls or len({call.op_type for call in calls}) < len(calls):
        raise _damaged(f"it has {len(calls)} calls of functions of {DOMAIN}")
    return calls


def read_network(model: ModelProto) -> IntegerNetwork:
    """The network of `read_parts`."""
    return read_parts(model)[0].network


def read_parts(model: ModelProto) -> tuple[Part, ...]:
    """The parts of the network that a packed model describes, one for each of `calls_of`.

    Shapes and ranges are computed anew. Nothing of the file is trusted: sizes are bounded,
    references and shapes checked.

    Raises:
        UserError: if the model has no description or a damaged one.
    """
    calls = calls_of(model)
    try:
        return _parts(calls, model)
    except UserError as error:
        raise _damaged(str(error)) from error
    except _DAMAGED as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(reason: str) -> UserError:
    return UserError(
        f"the model's description of its network is damaged ({reason})",
        remedy="write the model again with 'qdeploy pack' or 'qdeploy compile'",
    )


def _forms(network: IntegerNetwork) -> Iterator[tuple[int, str]]:
    """In which form initializers hold arrays, by the array's id."""
    yield id(network.quantizer.boundaries), "rows"
    for node in network.nodes:
        if isinstance(node, Threshold):
            yield id(node.thresholds), "rows"
        for weights in weights_of(node):
            for plane in weights.planes:
                yield id(plane.codes), plane.kind


def _inflated(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(content, MOST_BYTES)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("its size")
    return text


def _parts(calls: list[NodeProto], model: ModelProto) -> tuple[Part, ...]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    builder, first = Builder(), {}
    groups: list[list[Node]] = []
    for call in calls:
        document, get = _document(call), _arrays(call, tensors)
        if not groups:
            first = document
            quantizer, meaning = (decode(document[key], get) for key in ("quantizer", "meaning"))
            _declare_input(builder, document, quantizer)
        nodes = [decode(_without_floats(node), get) for node in document["nodes"]]
        for node in nodes:
            if node.output in builder.tensors:
                raise ValueError(f"tensor {node.output} is written twice")
            if math.prod(builder.add(node).shape) > MOST_ELEMENTS:
                raise ValueError(f"tensor {node.output} is too large")
        groups.append(nodes)
    builder.set_meaning(first["output"], meaning)
    network = builder.network(
        name=first["name"],
        quantizer=quantizer,
        input_name=first["input_name"],
        output_name=first["output_name"],
        output=first["output"],
    )
    if len(network.nodes) < sum(map(len, groups)):
        raise ValueError("layers that nothing reads")
    if first["output_function"] not in get_args(OutputFunction):
        raise ValueError(f"output function {first['output_function']}")
    return joined(replace(network, output_function=first["output_function"]), groups)


def _document(call: NodeProto) -> dict[str, Any]:
    (content,) = (part.s for part in call.attribute if part.name == DESCRIPTION)
    document = json.loads(_inflated(content))
    if document["format"] != FORMAT_VERSION:
        raise ValueError(f"format {document['format']}")
    return dict(document)


def _arrays(
    call: NodeProto, tensors: Mapping[str, TensorProto]
) -> Callable[[dict[str, Any]], Array]:
    """What finds the arrays of a call's description; `tensors` are the model's initializers."""

    def get(found: dict[str, Any]) -> Array:
        place, shape = found["array"], tuple(_integers(found["shape"]))
        dtype = np.dtype(found["type"])
        if dtype.kind not in "if" or math.prod(shape) > MOST_ELEMENTS:
            raise ValueError(f"an array of type {dtype} and shape {shape}")
        if type(place) is not int:
            return np.array(place, dtype).reshape(shape)
        stored = numpy_helper.to_array(tensors[call.input[place]])
        return _restored(stored, found["form"], shape).astype(dtype)

    return get


def _declare_input(builder: Builder, document: dict[str, Any], quantizer: Any) -> None:
    shape = tuple(_integers(document["shape"]))
    if not isinstance(quantizer, InputQuantizer) or not 0 < len(shape) <= 4 or min(shape) < 1:
        raise ValueError("its input")
    high = quantizer.low + quantizer.step * len(quantizer.boundaries)
    builder.input(document["input"], shape, ValueRange(quantizer.low, high), Meaning().scale[0])


def _restored(array: Array, form: str, shape: tuple[int, ...]) -> Array:
    """The array of the network from what the portable form stores."""
    if form == "rows":  # one behind the other, perhaps longer; or columns behind each other
        rows = math.prod(shape[:-1])
        table = array.reshape(rows, -1) if array.ndim == 1 else array.reshape(len(array), rows).T
        return table[:, : shape[-1]].reshape(shape)
    if form:
        return CodeBook.named(form).unpack(array, shape)
    return array.reshape(shape)


def _integers(values: list[Any]) -> list[int]:
    if not all(type(value) is int for value in values):
        raise ValueError(f"numbers {values}")
    return values


def _without_floats(value: Any) -> Any:
    """The same JSON value.

    Raises:
        ValueError: if there is a fraction in it.
    """
    if isinstance(value, float):
        raise ValueError(f"the number {value}")
    for part in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        _without_floats(part)
    return value
