# SPDX-License-Identifier: Apache-2.0
"""Build an integer network operator by operator; shapes and ranges follow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qdeploy.errors import UserError
from qdeploy.integer.network import (
    ArgMax,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Threshold,
)
from qdeploy.integer.ranges import accumulator_range, threshold_range
from qdeploy.integer.tensors import Meaning, Tensor, ValueRange

# Beyond this an int64 reference could overflow and no back end has an adder.
MAXIMUM_ACCUMULATOR_BITS = 48


class Builder:
    """Collects nodes and tensors; each `add` returns the output tensor."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}

    def input(
        self, name: str, shape: tuple[int, ...], value_range: ValueRange, scale: Fraction
    ) -> Tensor:
        """Declare the integer input of shape [C, H, W] or [C]."""
        return self._remember(Tensor(name, shape, value_range, Meaning((scale,))))

    def add(self, node: Node, meaning: Meaning | None = None) -> Tensor:
        """Append `node`; its output means `meaning`, by default what its input means.

        Raises:
            UserError: if the shapes do not fit or an accumulator gets wider than 48 bits.
        """
        x = self.tensors[node.input]
        shape, value_range = self._shape(node, x), self._range(node, x)
        if value_range.bits > MAXIMUM_ACCUMULATOR_BITS:
            raise UserError(
                f"the accumulator needs {value_range.bits} bits ({value_range})",
                layer=node.name,
                remedy="use fewer bits for weights, scales or activations, or train the scales "
                "in fixed point as the SYQ quantizers do (scale_bits)",
            )
        self.nodes.append(node)
        return self._remember(Tensor(node.output, shape, value_range, meaning or x.meaning))

    def replace(self, name: str, node: Node, meaning: Meaning) -> None:
        """Exchange the node that writes tensor `name` by one of the same shape and output."""
        position = next(i for i, old in enumerate(self.nodes) if old.output == name)
        self.nodes[position] = node
        x, y = self.tensors[node.input], self.tensors[name]
        self.tensors[name] = Tensor(name, y.shape, self._range(node, x), meaning)

    def set_meaning(self, name: str, meaning: Meaning) -> None:
        """State what tensor `name` means once the walk knows it."""
        tensor = self.tensors[name]
        self.tensors[name] = Tensor(name, tensor.shape, tensor.range, meaning)

    def network(
        self, *, name: str, quantizer: InputQuantizer, input_name: str, output_name: str
    ) -> IntegerNetwork:
        """The network from the declared input to the last node."""
        return IntegerNetwork(
            name=name,
            input=next(iter(self.tensors)),
            input_name=input_name,
            output=self.nodes[-1].output,
            output_name=output_name,
            quantizer=quantizer,
            nodes=tuple(self.nodes),
            tensors=dict(self.tensors),
        )

    def _remember(self, tensor: Tensor) -> Tensor:
        self.tensors[tensor.name] = tensor
        return tensor

    def _range(self, node: Node, x: Tensor) -> ValueRange:
        if isinstance(node, (Convolution, Linear)):
            return accumulator_range(node, x.range)
        if isinstance(node, Threshold):
            return threshold_range(node)
        if isinstance(node, ArgMax):
            return ValueRange(0, x.channels - 1)
        return x.range

    def _shape(self, node: Node, x: Tensor) -> tuple[int, ...]:
        if isinstance(node, Convolution):
            return self._convolution_shape(node, x)
        if isinstance(node, Linear):
            _require(node, x, node.weights.shape[1:] == x.shape, f"weights {node.weights.shape}")
            return (node.weights.shape[0],)
        if isinstance(node, MaxPool):
            plain = len(x.shape) == 3 and len(node.strides) == 2 and min(*node.strides) > 0
            _require(node, x, plain, f"kernel {node.kernel} and strides {node.strides}")
            return (x.channels, *_window_counts(node, x, node.kernel, node.strides))
        if isinstance(node, Flatten):
            return (int(np.prod(x.shape)),)
        if isinstance(node, ArgMax):
            return (1,)
        return x.shape

    def _convolution_shape(self, node: Convolution, x: Tensor) -> tuple[int, ...]:
        outputs, channels, *kernel = node.weights.shape
        sizes = (len(kernel), len(node.strides), len(node.dilations), len(node.pads))
        _require(
            node,
            x,
            len(x.shape) == 3
            and sizes == (2, 2, 2, 4)
            and min(*node.strides, *node.dilations, node.groups) > 0
            and min(node.pads) >= 0
            and channels * node.groups == x.channels
            and not outputs % node.groups,
            f"weights {node.weights.shape}, strides {node.strides}, dilations {node.dilations}, "
            f"padding {node.pads} and {node.groups} groups",
        )
        extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, node.dilations, strict=True))
        return (outputs, *_window_counts(node, x, extent, node.strides, node.pads))


def _window_counts(
    node: Node,
    x: Tensor,
    extent: tuple[int, ...],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> tuple[int, int]:
    padded = (x.shape[1] + pads[0] + pads[2], x.shape[2] + pads[1] + pads[3])
    height, width = (
        (size - window) // stride + 1
        for size, window, stride in zip(padded, extent, strides, strict=True)
    )
    _require(node, x, height > 0 and width > 0, f"window {extent}")
    return height, width


def _require(node: Node, x: Tensor, fits: bool, what: str) -> None:
    if not fits:
        raise UserError(
            f"{what} do not fit an input of shape {x.shape}",
            layer=node.name,
            remedy="check the layer's sizes in the source model",
        )
