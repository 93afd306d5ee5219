# SPDX-License-Identifier: Apache-2.0
"""Files that are no ONNX models, or are so only in part."""

import io
import zipfile

import numpy as np
import onnx
from corpus import hostile, valid


@hostile
def empty_file() -> bytes:
    return b""


@hostile
def text() -> bytes:
    return b"this is no model\n" * 20


@hostile
def random_bytes() -> bytes:
    return np.random.default_rng(0).bytes(1000)


@hostile
def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("model.onnx", valid().SerializeToString())
    return buffer.getvalue()


@hostile
def pickle_of_an_object() -> bytes:
    return b"cos\nsystem\n(S'exit 1'\ntR."


@hostile
def first_half() -> bytes:
    whole = valid().SerializeToString()
    return whole[: len(whole) // 2]


@hostile
def last_byte_missing() -> bytes:
    return valid().SerializeToString()[:-1]


@hostile
def twice() -> bytes:
    """Protobuf merges both: every tensor is written twice."""
    return valid().SerializeToString() * 2


@hostile
def length_beyond_the_end() -> bytes:
    # Field 7 (graph) claims 2 GiB - 1.
    return b"\x3a\xff\xff\xff\xff\x07" + b"\0" * 100


@hostile
def endless_number() -> bytes:
    return b"\x08" + b"\xff" * 200


@hostile
def nested_graphs() -> bytes:
    """Attributes that hold graphs that hold nodes..., 3,000 deep: a parser must not recurse."""
    inner = b""
    for _ in range(3000):
        attribute = _field(6, inner)  # AttributeProto.g
        inner = _field(1, _field(5, attribute))  # GraphProto.node, NodeProto.attribute
    return _field(7, inner)


def _field(number: int, payload: bytes) -> bytes:
    size, length = len(payload), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@hostile
def header_only() -> onnx.ModelProto:
    return onnx.ModelProto(ir_version=8, producer_name="nobody")


@hostile
def no_version() -> onnx.ModelProto:
    model = valid()
    model.ClearField("ir_version")
    return model


@hostile
def version_of_the_future() -> onnx.ModelProto:
    model = valid()
    model.ir_version = 2**31 - 1
    return model


@hostile
def no_operator_sets() -> onnx.ModelProto:
    model = valid()
    del model.opset_import[:]
    return model


@hostile
def operator_set_of_the_future() -> onnx.ModelProto:
    model = valid()
    model.opset_import[0].version = 2**40
    return model


@hostile
def negative_operator_set() -> onnx.ModelProto:
    model = valid()
    model.opset_import[0].version = -1
    return model
