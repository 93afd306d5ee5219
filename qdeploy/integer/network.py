# SPDX-License-Identifier: Apache-2.0
"""The integer network: the one meaning that every back end must reproduce."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.errors import InternalError, UserError
from qdeploy.integer.lstm import LstmLayer
from qdeploy.integer.quotients import Quotient
from qdeploy.integer.tensors import Tensor
from qdeploy.integer.weights import Integers, Weights
from qdeploy.real_values import apply_function, checked_input

# What the source file does to the real logits at its very end.
OutputFunction = Literal["", "softmax", "sigmoid"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """One operator.

    Attributes:
        name: the layer as in the PyTorch model, unique in the network ("conv1").
        input: name of the (first) input tensor.
        output: name of the output tensor.
        others: names of further input tensors, where branches meet.
        origin: names of the nodes of the source file that became this one.
    """

    name: str
    input: str
    output: str
    others: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """All input tensors."""
        return (self.input, *self.others)

    @property
    def kind(self) -> str:
        """Name of the operator, for people."""
        return type(self).__name__


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Node):
    """2-D convolution of [C, H, W], weights [O, C/groups, KH, KW], padding value `pad_code`.

    `pads` are top, left, bottom, right, as in the ONNX operator Conv.
    """

    weights: Weights
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    pad_code: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Node):
    """Fully connected layer on [C], weights [O, C]: y = W x."""

    weights: Weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Node):
    """MultiThreshold: y = base + step · #{t : x >= thresholds[c, t]}.

    Attributes:
        thresholds: int64 [C or 1, T], ascending along T. A threshold that no value reaches lies
            one above the input range, one that all values reach at or below its lower end.
        base: int64 [C or 1], the output where no threshold is reached.
        step: int64 [C or 1], added for each threshold reached; negative where the scale was.
    """

    thresholds: Integers
    base: Integers
    step: Integers


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Node):
    """A quantizer of many codes, channels along axis 0: y = the quotient of x, rounded and clipped.

    Its numerators stay below 2^61 in magnitude over the whole input range.
    """

    quotient: Quotient


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Node):
    """Maximum over windows of [C, H, W]; padding (top, left, bottom, right) never wins."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool(Node):
    """Sum over windows of [C, H, W], padding counts as 0; the division is in the scale."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """y = Σ multipliers[k] · inputs[k], all inputs of one shape; bipolar or scaled branches."""

    multipliers: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Node):
    """All inputs behind each other along axis 0 (channels)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Node):
    """[C, H, W] with `pads` (top, left, bottom, right) positions of `pad_code` around it."""

    pads: tuple[int, int, int, int]
    pad_code: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Node):
    """[C, H, W] with every position repeated `factors` (vertical, horizontal) times."""

    factors: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(Node):
    """x[starts[k] : stops[k] : steps[k]] along each axis k (no batch axis); steps are positive."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """The same integers in the same order, in `shape` (without the batch axis)."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Transpose(Node):
    """Axes reordered: axis k of the output is axis `order[k]` of the input (no batch axis)."""

    order: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Node):
    """[C, H, W] -> [C·H·W] in the order c, h, w (PyTorch's)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(Node):
    """Indices [...] to their rows of `table`, int64 [V, E]: [..., E]."""

    table: Integers


@dataclass(frozen=True, eq=False, kw_only=True)
class Lstm(Node):
    """Codes [T, I] of a sequence to the hidden state of every step [T, H], from states of zeros."""

    layer: LstmLayer


@dataclass(frozen=True, eq=False, kw_only=True)
class ArgMax(Node):
    """[C, ...] -> [count, ...]: indices of the largest along axis 0, the first of equals first."""

    count: int = 1


@dataclass(frozen=True, eq=False)
class InputQuantizer:
    """The boundary where real inputs become integers: code = low + step · #{b : x >= b}.

    Attributes:
        boundaries: float32 [levels - 1], ascending; each is the smallest float32 that reaches the
            next code, so that the comparison in float32 decides exactly as rationals would.
        low: code of inputs below all boundaries.
        step: distance of neighbouring codes (1, or 2 for bipolar codes).
    """

    boundaries: NDArray[np.float32]
    low: int
    step: int = 1

    def quantize(self, x: ArrayLike) -> Integers:
        """Real inputs of any shape (taken as float32) to int64 codes of the same shape.

        Raises:
            UserError: if an input is not a number.
        """
        values = np.asarray(x, np.float32)
        if np.isnan(values).any():
            raise UserError("the input holds NaN", remedy="feed finite numbers")
        return self.low + self.step * np.searchsorted(self.boundaries, values, side="right").astype(
            np.int64
        )


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Integer operators in topological order; branches may split and meet.

    Attributes:
        name: name of the model.
        input: the integer input tensor (after `quantizer`).
        input_name: name of the real input in the source file.
        output: name of the output tensor.
        output_name: name of the output in the source file.
        quantizer: turns real inputs into codes.
        nodes: operators in topological order.
        tensors: every tensor by name.
        output_function: applied to the real outputs, not to the integers.
        notes: where the network is not exactly the source file, by the user's leave.
        left_out: weights of the source file that make no difference.
    """

    name: str
    input: str
    input_name: str
    output: str
    output_name: str
    quantizer: InputQuantizer
    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    output_function: OutputFunction = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0

    def __post_init__(self) -> None:
        known = {self.input}
        for node in self.nodes:
            missing = set(node.inputs) - known
            if missing:
                raise InternalError(f"node {node.name} reads {missing} before it is written")
            if node.output in known:
                raise InternalError(f"tensor {node.output} is written twice")
            known.add(node.output)
        if self.output not in known or not known <= set(self.tensors):
            raise InternalError("the network's tensors are incomplete")
        if len({node.name for node in self.nodes}) != len(self.nodes):
            raise InternalError("node names must be unique")

    @property
    def input_tensor(self) -> Tensor:
        """The integer input."""
        return self.tensors[self.input]

    @property
    def output_tensor(self) -> Tensor:
        """The integer output; its meaning gives the real logits."""
        return self.tensors[self.output]

    def check_input(self, x: ArrayLike) -> NDArray[np.float32]:
        """Real inputs as float32 [N, ...] in the model's own layout; a missing batch axis is added.

        Raises:
            UserError: if the shape does not fit or an input is not a number.
        """
        return checked_input(x, self.input_tensor.shape)

    def real_output(self, integers: Integers) -> NDArray[np.float32]:
        """Integer outputs [N, ...] to the model's real outputs, float32."""
        scale, offset = (part.astype(np.float64) for part in self.output_tensor.affine())
        real = apply_function(self.output_function, scale * integers + offset)
        return real.astype(np.float32)

    def weights(self) -> int:
        """Number of weights in all layers."""
        return sum(prod(weights.shape) for node in self.nodes for weights in weights_of(node))

    def codes(self) -> int:
        """Number of weight codes in all layers and planes."""
        return sum(
            plane.codes.size
            for node in self.nodes
            for weights in weights_of(node)
            for plane in weights.planes
        )


def readers_of(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """The nodes that read each tensor, in order; a node is there once for each time it does."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for name in node.inputs:
            readers[name].append(node)
    return readers


def weights_of(node: Node) -> tuple[Weights, ...]:
    """What a node multiplies its inputs by; a table of vectors is not among it."""
    if isinstance(node, (Convolution, Linear)):
        return (node.weights,)
    if isinstance(node, Lstm):
        return node.layer.input_weights, node.layer.hidden_weights
    return ()
