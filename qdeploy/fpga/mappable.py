# SPDX-License-Identifier: Apache-2.0
"""What our hardware operators cannot do, said by layer before FINN sees the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qdeploy.errors import UserError
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import (
    ArgMax,
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Requantize,
    Threshold,
)

# FINN's Python execution carries integers in float32, which is exact up to here.
LARGEST_EXACT_FLOAT = 1 << 24
ONLY_ON_CPU = (
    "it runs on the CPU ('qdeploy lower', then 'qdeploy pack'); the FPGA back end does not have it "
    "yet"
)
_OPERATORS = (Convolution, Linear, Threshold, MaxPool, Flatten, ArgMax)


def obstacles(network: IntegerNetwork) -> list[UserError]:
    """Every reason why `network` has no hardware, each naming its layer; empty if there is none."""
    missing = [*_unknown_operators(network), *_forks(network)]
    if missing:
        return missing
    try:
        network = unit_steps(network)
    except UserError as error:
        return [error]
    return [error for node in network.nodes for error in _node(network, node)]


def _unknown_operators(network: IntegerNetwork) -> Iterator[UserError]:
    for node in network.nodes:
        if isinstance(node, Requantize):
            bits = network.tensors[node.output].range.bits
            yield UserError(
                f"its quantizer has {bits} bits; the hardware compares thresholds, for up to "
                "10 bits",
                layer=node.name,
                remedy="quantize to 10 bits or less, better to 1 to 4; as it is, " + ONLY_ON_CPU,
            )
        elif not isinstance(node, _OPERATORS):
            yield UserError(
                f"there is no hardware for {node.kind}", layer=node.name, remedy=ONLY_ON_CPU
            )
        elif isinstance(node, MaxPool) and any(node.pads):
            yield UserError(
                f"there is no hardware for MaxPool with padding {node.pads}",
                layer=node.name,
                remedy=ONLY_ON_CPU,
            )
        elif isinstance(node, MaxPool) and set(node.dilations) != {1}:
            yield UserError(
                f"there is no hardware for MaxPool with dilation {node.dilations}",
                layer=node.name,
                remedy=ONLY_ON_CPU,
            )


def _forks(network: IntegerNetwork) -> Iterator[UserError]:
    readers = Counter(name for node in network.nodes for name in node.inputs)
    readers[network.output] += 1
    if readers[network.input] > 1:
        yield UserError(
            f"{readers[network.input]} layers read the input; a stream has one reader",
            layer=next(node.name for node in network.nodes if network.input in node.inputs),
            remedy=ONLY_ON_CPU,
        )
    for node in network.nodes:
        if readers[node.output] != 1:
            yield UserError(
                f"{readers[node.output]} layers read its output; a stream has one reader",
                layer=node.name,
                remedy=ONLY_ON_CPU,
            )


def _node(network: IntegerNetwork, node: Node) -> Iterator[UserError]:
    x, y = network.tensors[node.input], network.tensors[node.output]
    if max(-y.range.low, y.range.high) >= LARGEST_EXACT_FLOAT:
        yield UserError(
            f"its sums reach {y.range}, beyond the ±2^24 that FINN computes exactly",
            layer=node.name,
            remedy="use fewer bits for weights, scales or activations",
        )
    if isinstance(node, Convolution):
        yield from _convolution(node)
    elif isinstance(node, Threshold) and len({*node.base.tolist()}) > 1:
        yield UserError(
            f"its channels start from different codes {sorted(set(node.base.tolist()))}",
            layer=node.name,
            remedy="use one quantizer for the whole layer",
        )
    elif isinstance(node, MaxPool) and any(
        k < s for k, s in zip(node.kernel, node.strides, strict=True)
    ):
        yield UserError(
            f"its stride {node.strides} skips pixels beyond its window {node.kernel}",
            layer=node.name,
            remedy="use a stride no larger than the kernel",
        )
    elif isinstance(node, Flatten) and len(x.shape) == 3 and not _order_is_free(network, node):
        yield UserError(
            "what follows depends on the order of the flattened elements, which is (height, width, "
            "channel) in hardware",
            layer=node.name,
            remedy="let a linear layer follow the flattening",
        )
    elif isinstance(node, ArgMax) and (len(x.shape) != 1 or node.count != 1):
        yield UserError(
            f"arg-max of the {node.count} largest over an input of shape {x.shape}"
            if node.count > 1
            else f"arg-max over an input of shape {x.shape}",
            layer=node.name,
            remedy="flatten and classify with a linear layer first",
        )


def _convolution(node: Convolution) -> Iterator[UserError]:
    if node.groups != 1:
        yield UserError(
            f"it has {node.groups} groups; the matrix-vector unit takes one",
            layer=node.name,
            remedy="use an ordinary convolution (groups=1)",
        )
    if any(node.pads) and node.pad_code != 0:
        yield UserError(
            f"its padding has code {node.pad_code}; FINN pads with code 0",
            layer=node.name,
            remedy="use an activation quantizer with zero point 0, or no padding",
        )


def _order_is_free(network: IntegerNetwork, node: Flatten) -> bool:
    _, height, width = network.tensors[node.input].shape
    readers = [other for other in network.nodes if other.input == node.output]
    return bool(readers) and (height * width == 1 or isinstance(readers[0], Linear))
