# SPDX-License-Identifier: Apache-2.0
"""Attributes of ONNX nodes as plain Python values."""

from __future__ import annotations

from typing import Any

import onnx


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """All attributes by name; strings as str, lists as list, tensors as numpy arrays."""
    result: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        result[attribute.name] = value
    return result
