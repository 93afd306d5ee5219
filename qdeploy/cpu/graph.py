# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph under construction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and initializers; every method returns the name of the value it made.

    A node keeps the name it is given; its value gets the same one, with a number behind it where
    the name is taken (by the model's input, for instance).
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._taken = set(taken)

    def constant(self, name: str, values: NDArray[Any], dtype: DTypeLike | None = None) -> str:
        """An initializer; integers wanted as another `dtype` are stored small and cast at load."""
        wanted = values.dtype if dtype is None else np.dtype(dtype)
        stored = values if values.dtype == wanted else values.astype(_smallest_type(values))
        value = self._value(name)
        self.initializers.append(numpy_helper.from_array(np.asarray(stored, order="C"), value))
        return self.cast(value, stored.dtype, wanted, f"{name}/cast")

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node with one output."""
        return self._node(operator, inputs, name, [self._value(name)], attributes)[0]

    def split(self, value: str, name: str, parts: int) -> list[str]:
        """`value` cut along axis 0 into equal parts."""
        outputs = [self._value(f"{name}{index}") for index in range(parts)]
        return self._node("Split", [value], name, outputs, {"axis": 0})

    def cast(self, value: str, source: DTypeLike, target: DTypeLike, name: str) -> str:
        """`value`, which has type `source`, as `target`."""
        if np.dtype(source) == np.dtype(target):
            return value
        tensor_type = helper.np_dtype_to_tensor_dtype(np.dtype(target))
        return self.node("Cast", [value], name, to=tensor_type)

    def output(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> None:
        """A node that writes the model's output `name`, a name already taken."""
        self._node(operator, inputs, name, [name], attributes)

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        outputs: list[str],
        attributes: dict[str, Any],
    ) -> list[str]:
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def _value(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def _smallest_type(values: NDArray[Any]) -> np.dtype[Any]:
    lowest, highest = int(values.min()), int(values.max())
    return np.promote_types(np.min_scalar_type(lowest), np.min_scalar_type(highest))
