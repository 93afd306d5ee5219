# SPDX-License-Identifier: Apache-2.0
"""How a packed model carries its integer network, so that another form can be made of the file.

The call of the function `FUNCTION` has the attribute `DESCRIPTION`: compressed JSON with the nodes
of the network. Large arrays are not in it but refer to initializers of the file, where they are
packed, or ordered as the portable form needs them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from qdeploy.cpu.packing import CodeBook
from qdeploy.errors import InternalError, UserError
from qdeploy.integer import (
    Builder,
    InputQuantizer,
    IntegerNetwork,
    Meaning,
    Node,
    Threshold,
    ValueRange,
    weights_of,
)
from qdeploy.integer.storage import decode, encode

DOMAIN = "org.qdeploy"
FUNCTION = "Network"
DESCRIPTION = "network"
FORMAT_VERSION = 1
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


def describe(network: IntegerNetwork, stored: Mapping[int, str]) -> bytes:
    """The description of `network`.

    Args:
        network: any.
        stored: name of the initializer that holds an array of the network, by the array's id.
    """
    forms = dict(_forms(network))

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

    document = {
        "format": FORMAT_VERSION,
        "name": network.name,
        "input": network.input,
        "shape": network.input_tensor.shape,
        "input_name": network.input_name,
        "output": network.output,
        "output_name": network.output_name,
        "output_function": network.output_function,
        "meaning": encode(network.output_tensor.meaning, put),
        "quantizer": encode(network.quantizer, put),
        "nodes": [encode(node, put) for node in _needed(network, stored)],
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def _needed(network: IntegerNetwork, stored: Mapping[int, str]) -> Iterator[Node]:
    """The nodes without what changes nothing."""
    for node in network.nodes:
        node = replace(node, origin=())  # noqa: PLW2901
        if isinstance(node, Threshold) and id(node.thresholds) not in stored:
            x = network.tensors[node.input].range
            node = replace(node, thresholds=np.clip(node.thresholds, x.low, x.high + 1))  # noqa: PLW2901
        yield node


def read_network(model: ModelProto) -> IntegerNetwork:
    """The network that a packed model describes; shapes and ranges are computed anew.

    Nothing of the file is trusted: sizes are bounded, references and shapes checked.

    Raises:
        UserError: if the model has no description or a damaged one.
    """
    calls = [node for node in model.graph.node if (node.domain, node.op_type) == (DOMAIN, FUNCTION)]
    try:
        (call,) = calls
        (content,) = (part.s for part in call.attribute if part.name == DESCRIPTION)
        return _network(json.loads(_inflated(content)), model)
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


def _network(document: dict[str, Any], model: ModelProto) -> IntegerNetwork:
    if document["format"] != FORMAT_VERSION:
        raise ValueError(f"format {document['format']}")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def get(found: dict[str, Any]) -> Array:
        place, shape = found["array"], tuple(_integers(found["shape"]))
        dtype = np.dtype(found["type"])
        if dtype.kind not in "if" or math.prod(shape) > MOST_ELEMENTS:
            raise ValueError(f"an array of type {dtype} and shape {shape}")
        if not isinstance(place, str):
            return np.array(place, dtype).reshape(shape)
        return _restored(numpy_helper.to_array(tensors[place]), found["form"], shape).astype(dtype)

    shape = tuple(_integers(document["shape"]))
    quantizer = decode(document["quantizer"], get)
    if not isinstance(quantizer, InputQuantizer) or not 0 < len(shape) <= 4 or min(shape) < 1:
        raise ValueError("its input")
    builder = Builder()
    high = quantizer.low + quantizer.step * len(quantizer.boundaries)
    builder.input(document["input"], shape, ValueRange(quantizer.low, high), Meaning().scale[0])
    for description in document["nodes"]:
        node = decode(_without_floats(description), get)
        if builder.producer(node.output) or node.output == document["input"]:
            raise ValueError(f"tensor {node.output} is written twice")
        if math.prod(builder.add(node).shape) > MOST_ELEMENTS:
            raise ValueError(f"tensor {node.output} is too large")
    builder.set_meaning(document["output"], decode(document["meaning"], get))
    network = builder.network(
        name=document["name"],
        quantizer=quantizer,
        input_name=document["input_name"],
        output_name=document["output_name"],
        output=document["output"],
    )
    return replace(network, output_function=document["output_function"])


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
