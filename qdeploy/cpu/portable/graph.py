# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph under construction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

PRODUCER = "qdeploy"
OPSET = 17
IR_VERSION = 8
# Constants of more bytes are initializers, which the main graph hands to the function.
_SMALL = 128
Made = TypeVar("Made")


class Graph:
    """Collects nodes and initializers; every method returns the name of the value it made.

    Initializers and the nodes of layers carry names for people, in which parts follow a slash. All
    else is only numbered, since names would be most of a small model's bytes.

    Attributes:
        nodes: in topological order.
        initializers: the large constants.
        stored: name of the initializer that holds an array of the network, by the array's id.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.stored: dict[int, str] = {}
        self._value_names = set(taken)
        self._node_names: set[str] = set()
        self._made: dict[str, str] = {}

    def constant(
        self,
        name: str,
        values: NDArray[Any],
        dtype: DTypeLike | None = None,
        of: NDArray[Any] | None = None,
    ) -> str:
        """A constant; integers wanted as another `dtype` are stored small and cast at load.

        Args:
            name: for people.
            values: of the constant.
            dtype: of the value that is made, by default that of `values`.
            of: the array of the network that a reader gets back from `values`.
        """
        wanted = values.dtype if dtype is None else np.dtype(dtype)
        stored = values if values.dtype == wanted else values.astype(_smallest_type(values))
        stored = np.asarray(stored, order="C")
        if stored.nbytes <= _SMALL:
            tensor = numpy_helper.from_array(stored)
            value = self._node("Constant", [], "", [self._number()], {"value": tensor})[0]
        else:
            value = unique(name, self._value_names)
            self.initializers.append(numpy_helper.from_array(stored, value))
            if of is not None:
                self.stored[id(of)] = value
        return self.cast(value, stored.dtype, wanted, f"{name}/cast")

    def once(self, name: str, make: Callable[[str], str]) -> str:
        """The value that `make(name)` makes, the same one at every call with this `name`."""
        if name not in self._made:
            self._made[name] = make(name)
        return self._made[name]

    def shared(self, name: str, values: NDArray[Any]) -> str:
        """An initializer that many nodes use; `name` always stands for the same values."""
        return self.once(name, lambda label: self.constant(label, values))

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node with one output."""
        return self._node(operator, inputs, name, [self._number()], attributes)[0]

    def outputs(
        self, operator: str, inputs: Sequence[str], name: str, count: int, **attributes: Any
    ) -> list[str]:
        """A node with `count` outputs."""
        outputs = [self._number() for _ in range(count)]
        return self._node(operator, inputs, name, outputs, attributes)

    def split(self, value: str, name: str, parts: int) -> list[str]:
        """`value` cut along axis 0 into equal parts."""
        return self.outputs("Split", [value], name, parts, axis=0)

    def top_indices(self, value: str, count: int, name: str) -> str:
        """Indices of the `count` largest along axis 1, int64, the first of equals first."""
        k = self.constant(f"{name}/count", np.array([count], np.int64))
        return self.outputs("TopK", [value, k], name, 2, axis=1)[1]

    def unnamed(self) -> str:
        """A name for a value that nodes of a subgraph get from it."""
        return self._number()

    def subgraph(self, make: Callable[[], Made]) -> tuple[list[NodeProto], Made]:
        """The nodes that `make` would have appended, and its result; none of them is shared."""
        outside, made = self.nodes, dict(self._made)
        self.nodes = []
        result = make()
        nodes, self.nodes, self._made = self.nodes, outside, made
        return nodes, result

    def cast(self, value: str, source: DTypeLike, target: DTypeLike, name: str) -> str:
        """`value`, which has type `source`, as `target`."""
        if np.dtype(source) == np.dtype(target):
            return value
        tensor_type = helper.np_dtype_to_tensor_dtype(np.dtype(target))
        return self.node("Cast", [value], name, to=tensor_type)

    def output(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> None:
        """A node that writes the model's output `name`, one of the names taken at the start."""
        self._node(operator, inputs, name, [name], attributes)

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        outputs: list[str],
        attributes: dict[str, Any],
    ) -> list[str]:
        label = unique(name, self._node_names) if name and "/" not in name else None
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=label, **attributes))
        return outputs

    def _number(self) -> str:
        return unique(str(len(self._value_names)), self._value_names)


def unique(wanted: str, taken: set[str]) -> str:
    """`wanted`, with a number behind it if it is in `taken`, which then holds the result too."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


def _smallest_type(values: NDArray[Any]) -> type[np.integer[Any]]:
    lowest, highest = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int8, np.uint16, np.int16, np.int32):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return dtype
    return np.int64
