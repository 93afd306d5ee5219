# SPDX-License-Identifier: Apache-2.0
"""What of a network is computed in one step."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from qdeploy.cpu.parts import Part
from qdeploy.cpu.program.level_steps import lattice_of
from qdeploy.cpu.program.plane_forms import simplified, with_unit_kernel
from qdeploy.integer import (
    Add,
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    Node,
    Pad,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
    readers_of,
)
from qdeploy.integer.reference import evaluate

_SUMS = (Convolution, Linear, Add, SumPool)


@dataclass(frozen=True, eq=False)
class Layer:
    """A node, with the thresholds behind it if they are computed with it.

    Attributes:
        node: what is computed; a fully connected layer is a convolution of the whole image.
        input: the (first) tensor that is read: of the node, or the one before a Flatten.
        threshold: None where the node's integers are written as they are, or are those of a
            threshold of its own.
        output: what is written.
    """

    node: Node
    input: str
    threshold: Threshold | None
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """All tensors that are read."""
        return (self.input, *self.node.others)

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved alone, into one."""
        return isinstance(self.node, Convolution) and _depthwise(self.node)


def layers(part: Part) -> list[Layer]:
    """A part's steps; what only turns an image into a vector for fully connected layers is none."""
    network = part.network
    readers = readers_of(part.nodes)
    sources = {
        node.output: node.input
        for node in part.nodes
        if node.output not in part.outputs and _unneeded(node, network, readers[node.output])
    }
    found, taken = [], set(sources)
    for node in part.nodes:
        if node.output in taken:
            continue
        following = readers[node.output]
        alone = len(following) == 1 and node.output not in part.outputs
        last = following[0] if alone else None
        threshold = node if isinstance(node, Threshold) else None
        if isinstance(node, _SUMS) and isinstance(last, Threshold) and _makes_levels(last):
            threshold = last
            taken.add(last.output)
        source = sources.get(node.input, node.input)
        plain = _convolution(node, network.tensors[source])
        output = threshold.output if threshold else node.output
        found.append(Layer(plain, source, threshold, output))
    return found


def image_shape(tensor: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of the image that holds a tensor of any rank."""
    channels, *others = tensor.shape
    return channels, prod(others[:-1]), others[-1] if others else 1


def sources(node: Node, x: Tensor, y: Tensor) -> Integers | None:
    """Where each integer of the output image comes from, [C, H, W]; None: it is not only moved."""
    if not isinstance(node, (Flatten, Reshape, Transpose, Slice)):
        return None
    places = np.arange(prod(x.shape)).reshape(1, *x.shape)
    return evaluate(node, places).reshape(image_shape(y))


def channels_stay(node: Node, x: Tensor) -> bool:
    """Whether the node moves whole pixels, or the same neighbouring channels of all pixels."""
    if isinstance(node, (Pad, Upsample)):
        return True
    return isinstance(node, Slice) and len(x.shape) == 3 and node.steps[0] == 1


def _unneeded(node: Node, network: IntegerNetwork, readers: list[Node]) -> bool:
    """Whether the readers of a vector can read the image that it is made of."""
    y, shape = network.tensors[node.output], image_shape(network.tensors[node.input])
    if not isinstance(node, (Flatten, Reshape)) or len(y.shape) != 1:
        return False
    if shape[0] < 4 and shape[1] * shape[2] > 1:  # bytes and groups of weights would not be full
        return False
    return all(
        isinstance(reader, Linear) and with_unit_kernel(reader.weights, shape) is not None
        for reader in readers
    )


def _convolution(node: Node, x: Tensor) -> Node:
    if isinstance(node, Linear):
        weights = with_unit_kernel(node.weights, image_shape(x))
        assert weights is not None
        node = Convolution(name=node.name, input=x.name, output=node.output, weights=weights)
    if not isinstance(node, Convolution) or _depthwise(node):
        return node
    return simplified(node)


def _makes_levels(node: Threshold) -> bool:
    """Whether the codes fit bytes."""
    return lattice_of(node).count <= 256


def _depthwise(node: Convolution) -> bool:
    return node.weights.shape[1] == 1 and node.weights.shape[0] == node.groups > 1
