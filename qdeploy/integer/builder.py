# SPDX-License-Identifier: Apache-2.0
"""Build an integer network operator by operator; shapes and ranges follow."""

from __future__ import annotations

import math
from fractions import Fraction

from qdeploy.errors import UserError
from qdeploy.integer.network import (
    Add,
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    Lstm,
    MaxPool,
    Node,
    Pad,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
)
from qdeploy.integer.ranges import (
    accumulator_range,
    add_range,
    requantize_range,
    sum_pool_range,
    threshold_range,
)
from qdeploy.integer.tensors import Meaning, Tensor, ValueRange

# Beyond this an int64 reference could overflow and no back end has an adder.
MAXIMUM_ACCUMULATOR_BITS = 48


class Builder:
    """Collects nodes and tensors; each `add` returns the output tensor."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self._positions: dict[str, int] = {}

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
        shape, value_range = self._shape(node, x), self._range(node)
        if value_range.bits > MAXIMUM_ACCUMULATOR_BITS:
            raise UserError(
                f"the accumulator needs {value_range.bits} bits ({value_range})",
                layer=node.name,
                remedy="use fewer bits for weights, scales or activations, or train the scales "
                "in fixed point as the SYQ quantizers do (scale_bits)",
            )
        self._positions[node.output] = len(self.nodes)
        self.nodes.append(node)
        return self._remember(Tensor(node.output, shape, value_range, meaning or x.meaning))

    def producer(self, name: str) -> Node | None:
        """The node that writes tensor `name`; None for the input."""
        return self.nodes[self._positions[name]] if name in self._positions else None

    def replace(self, name: str, node: Node, meaning: Meaning) -> None:
        """Exchange the node that writes tensor `name` by one of the same shape and output."""
        self.nodes[self._positions[name]] = node
        shape = self.tensors[name].shape
        self.tensors[name] = Tensor(name, shape, self._range(node), meaning)

    def set_meaning(self, name: str, meaning: Meaning) -> None:
        """State what tensor `name` means once the walk knows it."""
        tensor = self.tensors[name]
        self.tensors[name] = Tensor(name, tensor.shape, tensor.range, meaning)

    def network(
        self,
        *,
        name: str,
        quantizer: InputQuantizer,
        input_name: str,
        output_name: str,
        output: str | None = None,
    ) -> IntegerNetwork:
        """The network from the declared input to `output`, by default the last node's.

        Nodes that the output does not need are left out.
        """
        source = next(iter(self.tensors))
        if output is None:
            output = self.nodes[-1].output if self.nodes else source
        needed, nodes = {output}, []
        for node in reversed(self.nodes):
            if node.output in needed:
                nodes.append(node)
                needed.update(node.inputs)
        return IntegerNetwork(
            name=name,
            input=source,
            input_name=input_name,
            output=output,
            output_name=output_name,
            quantizer=quantizer,
            nodes=tuple(reversed(nodes)),
            tensors={
                name: self.tensors[name] for name in self.tensors if name in needed | {source}
            },
        )

    def _remember(self, tensor: Tensor) -> Tensor:
        self.tensors[tensor.name] = tensor
        return tensor

    def _range(self, node: Node) -> ValueRange:
        x, *others = (self.tensors[name].range for name in node.inputs)
        if isinstance(node, (Convolution, Linear)):
            return accumulator_range(node, x)
        if isinstance(node, Threshold):
            return threshold_range(node)
        if isinstance(node, Requantize):
            return requantize_range(node, x)
        if isinstance(node, SumPool):
            return sum_pool_range(node, x)
        if isinstance(node, Add):
            return add_range(node, [x, *others])
        if isinstance(node, Concat):
            ranges = [x, *others]
            return ValueRange(min(r.low for r in ranges), max(r.high for r in ranges))
        if isinstance(node, Pad):
            return x.including(node.pad_code)
        if isinstance(node, Embedding):
            return ValueRange(int(node.table.min()), int(node.table.max()))
        if isinstance(node, Lstm):
            return node.layer.hidden
        if isinstance(node, ArgMax):
            return ValueRange(0, self.tensors[node.input].channels - 1)
        return x

    def _shape(self, node: Node, x: Tensor) -> tuple[int, ...]:
        others = [self.tensors[name].shape for name in node.others]
        if isinstance(node, Convolution):
            return self._convolution_shape(node, x)
        if isinstance(node, Linear):
            _require(node, x, node.weights.shape[1:] == x.shape, f"weights {node.weights.shape}")
            return (node.weights.shape[0],)
        if isinstance(node, (MaxPool, SumPool)):
            plain = (len(x.shape), len(node.kernel), len(node.strides), len(node.pads))
            fits = plain == (3, 2, 2, 4) and min(*node.strides, *node.kernel) > 0
            fits = fits and min(node.pads) >= 0
            extent = node.kernel
            if isinstance(node, MaxPool):  # a window of nothing but padding has no maximum
                fits = fits and max(node.pads[0::2]) < node.kernel[0]
                fits = fits and max(node.pads[1::2]) < node.kernel[1]
                dilated = max(node.dilations) > 1
                fits = fits and min(node.dilations) > 0 and not (dilated and any(node.pads))
                extent = _extent(node.kernel, node.dilations)
            _require(node, x, fits, f"kernel {node.kernel} and strides {node.strides}")
            counts = _window_counts(node, x, extent, node.strides, node.pads)
            return (x.channels, *counts)
        if isinstance(node, Add):
            fits = all(shape == x.shape for shape in others)
            fits = fits and len(node.multipliers) == len(node.inputs)
            _require(node, x, fits, f"branches {others} with multipliers {node.multipliers}")
        if isinstance(node, Threshold):
            rows = (len(node.thresholds), len(node.base), len(node.step))
            fits = node.thresholds.ndim == 2 and set(rows) <= {1, x.channels}
            _require(node, x, fits, f"thresholds, bases and steps of {rows} channels")
        if isinstance(node, Concat):
            fits = all(shape[1:] == x.shape[1:] for shape in others)
            _require(node, x, fits, f"branches {others}")
            return (x.channels + sum(shape[0] for shape in others), *x.shape[1:])
        if isinstance(node, Embedding):
            table = node.table
            fits = table.ndim == 2 and x.range.low >= 0 and x.range.high < len(table)
            _require(node, x, fits and table.size > 0, f"indices {x.range} of {table.shape}")
            return (*x.shape, table.shape[1])
        if isinstance(node, Lstm):
            return _sequence_shape(node, x)
        return _rearranged(node, x)

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
        extent = _extent(node.weights.shape[2:], node.dilations)
        return (outputs, *_window_counts(node, x, extent, node.strides, node.pads))


def _sequence_shape(node: Lstm, x: Tensor) -> tuple[int, ...]:
    layer = node.layer
    fits = len(x.shape) == 2 and x.shape[1] == layer.input_size
    fits = fits and layer.input.low <= x.range.low and x.range.high <= layer.input.high
    _require(node, x, fits, f"a layer of {layer.input_size} inputs {layer.input}")
    if layer.sums.bits > MAXIMUM_ACCUMULATOR_BITS:
        raise UserError(
            f"the sums of its gates need {layer.sums.bits} bits ({layer.sums})",
            layer=node.name,
            remedy="use fewer bits for weights, scales, biases or activations",
        )
    return (x.shape[0], layer.hidden_size)


def _rearranged(node: Node, x: Tensor) -> tuple[int, ...]:
    """Shape behind operators that only move or repeat integers."""
    if isinstance(node, Pad):
        fits = len(x.shape) == 3 and len(node.pads) == 4 and min(node.pads) >= 0
        _require(node, x, fits, f"padding {node.pads}")
        top, left, bottom, right = node.pads
        return (x.channels, x.shape[1] + top + bottom, x.shape[2] + left + right)
    if isinstance(node, Upsample):
        fits = len(x.shape) == 3 and min(node.factors) > 0
        _require(node, x, fits, f"factors {node.factors}")
        return (x.channels, x.shape[1] * node.factors[0], x.shape[2] * node.factors[1])
    if isinstance(node, Slice):
        bounds = list(zip(node.starts, node.stops, node.steps, strict=True))
        fits = len(bounds) == len(x.shape) and all(
            0 <= start < stop <= size and step > 0
            for (start, stop, step), size in zip(bounds, x.shape, strict=False)
        )
        _require(node, x, fits, f"parts {bounds}")
        return tuple(len(range(*bound)) for bound in bounds)
    if isinstance(node, Reshape):
        _require(node, x, math.prod(node.shape) == math.prod(x.shape), f"shape {node.shape}")
        return node.shape
    if isinstance(node, Transpose):
        fits = sorted(node.order) == list(range(len(x.shape)))
        _require(node, x, fits, f"order {node.order}")
        return tuple(x.shape[axis] for axis in node.order)
    if isinstance(node, Flatten):
        return (math.prod(x.shape),)
    if isinstance(node, ArgMax):
        _require(node, x, 0 < node.count <= x.channels, f"{node.count} indices")
        return (node.count, *x.shape[1:])
    return x.shape


def _extent(kernel: tuple[int, ...], dilations: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns between the ends of a window, both included."""
    height, width = ((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    return height, width


def _window_counts(
    node: Node,
    x: Tensor,
    extent: tuple[int, int],
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
