# SPDX-License-Identifier: Apache-2.0
"""The file format of integer networks: a numpy archive (.npz) with one JSON member.

`network.json` holds everything but the arrays; `{"array": "a3"}` in it points to member `a3`.
Rational numbers are strings "3/8". Nothing is pickled, and equal networks give equal bytes.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.errors import InternalError, UserError
from qdeploy.integer import network as nodes
from qdeploy.integer.lstm import LstmLayer, StepFunction
from qdeploy.integer.network import InputQuantizer, IntegerNetwork
from qdeploy.integer.quotients import Quotient
from qdeploy.integer.tensors import Meaning, Tensor, ValueRange
from qdeploy.integer.weights import Plane, Weights

FORMAT_VERSION = 3
MAXIMUM_BYTES = 4 << 30
_CLASSES = {
    cls.__name__: cls
    for cls in (
        IntegerNetwork,
        InputQuantizer,
        Tensor,
        Meaning,
        ValueRange,
        Weights,
        Plane,
        nodes.Convolution,
        nodes.Linear,
        nodes.Threshold,
        nodes.Requantize,
        Quotient,
        nodes.MaxPool,
        nodes.SumPool,
        nodes.Add,
        nodes.Concat,
        nodes.Pad,
        nodes.Upsample,
        nodes.Slice,
        nodes.Reshape,
        nodes.Transpose,
        nodes.Flatten,
        nodes.Embedding,
        nodes.Lstm,
        LstmLayer,
        StepFunction,
        nodes.ArgMax,
    )
}


def save(network: IntegerNetwork, path: Path) -> None:
    """Write `network` to `path` (.npz)."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def put(array: np.ndarray[Any, Any]) -> dict[str, str]:
        name = f"a{len(arrays)}"
        arrays[name] = array
        return {"array": name}

    document = {"format": FORMAT_VERSION, "network": encode(network, put)}
    arrays["network.json"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load(path: Path) -> IntegerNetwork:
    """Read a file written by `save`.

    Raises:
        UserError: if the file is missing, damaged, too large or of another format version.
    """
    again = "write it again with 'qdeploy lower'"
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAXIMUM_BYTES:
                raise UserError(f"{path} claims more than {MAXIMUM_BYTES} bytes", remedy=again)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(arrays["network.json"].tobytes())
        if document["format"] != FORMAT_VERSION:
            raise UserError(f"{path} has format {document['format']}", remedy=again)
        network = decode(document["network"], lambda found: arrays[found["array"]])
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, InternalError) as error:
        raise UserError(f"{path} is no integer network: {error}", remedy=again) from error
    if not isinstance(network, IntegerNetwork):
        raise UserError(f"{path} is no integer network", remedy=again)
    return network


def encode(value: Any, put: Callable[[np.ndarray[Any, Any]], Any]) -> Any:
    """What JSON can hold of nodes, tensors and what they are made of; `put` stands for arrays."""
    if isinstance(value, np.ndarray):
        return put(value)
    if isinstance(value, Fraction):
        return str(value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name), put) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, **fields}
    if isinstance(value, (tuple, list)):
        return [encode(item, put) for item in value]
    if isinstance(value, dict):
        return {"map": {key: encode(item, put) for key, item in value.items()}}
    return value


def decode(value: Any, get: Callable[[dict[str, Any]], np.ndarray[Any, Any]]) -> Any:
    """The inverse of `encode`; `get` finds the array of what `put` gave, a dict with "array"."""
    if isinstance(value, list):
        return tuple(decode(item, get) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return get(value)
    if "map" in value:
        return {key: decode(item, get) for key, item in value["map"].items()}
    cls = _CLASSES[value["class"]]
    fields = {key: decode(item, get) for key, item in value.items() if key != "class"}
    if cls is Meaning:
        rationals = {key: tuple(map(Fraction, fields[key])) for key in ("scale", "offset")}
        fields = fields | rationals
    return cls(**fields)
