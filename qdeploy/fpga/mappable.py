# SPDX-License-Identifier: Apache-2.0
"""What our hardware operators cannot do, said by layer before FINN sees the network."""

from __future__ import annotations

from collections.abc import Iterator

from qdeploy.errors import UserError
from qdeploy.fpga.images import as_images
from qdeploy.fpga.unit_steps import unit_steps
from qdeploy.integer import (
    ArgMax,
    Convolution,
    Embedding,
    Flatten,
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
)

# The tensors of FINN's Python execution are float32, which is exact up to here.
LARGEST_EXACT_FLOAT = 1 << 24
ONLY_ON_CPU = (
    "it runs on the CPU ('qdeploy lower', then 'qdeploy pack'); the FPGA back end does not have it "
    "yet"
)
_ONLY_ON_CPU = (Embedding, Lstm)
_MISSING = (*_ONLY_ON_CPU, Reshape, Slice, Transpose)


def obstacles(network: IntegerNetwork) -> list[UserError]:
    """Every reason why `network` has no hardware, each naming its layer; empty if there is none."""
    network = as_images(network)
    missing = [*_unknown_operators(network), *_loose_ends(network)]
    if missing:
        return missing
    try:
        network = unit_steps(network)
    except UserError as error:
        return [error]
    return [error for node in network.nodes for error in _node(network, node)]


def never_hardware(network: IntegerNetwork) -> str:
    """Why no choice of quantizers would give the network hardware; empty if one may."""
    for node in reversed(network.nodes):
        if isinstance(node, _ONLY_ON_CPU):
            return f"there is no hardware for {node.kind} (layer '{node.name}')"
    return ""


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
        elif isinstance(node, _MISSING):
            yield UserError(
                f"there is no hardware for {node.kind}", layer=node.name, remedy=ONLY_ON_CPU
            )


def _loose_ends(network: IntegerNetwork) -> Iterator[UserError]:
    """An output stream goes out and nowhere else."""
    for node in network.nodes:
        if network.output in node.inputs:
            yield UserError(
                f"it reads {network.output}, which is also the output of the network",
                layer=node.name,
                remedy=ONLY_ON_CPU,
            )


def _inside(network: IntegerNetwork, node: Node) -> bool:
    """Whether the sums of a layer meet thresholds in its unit, and are no tensor outside of it."""
    readers = [reader for reader in network.nodes if node.output in reader.inputs]
    return (
        isinstance(node, (Convolution, Linear))
        and len(readers) == 1
        and isinstance(readers[0], Threshold)
    )


def _node(network: IntegerNetwork, node: Node) -> Iterator[UserError]:
    x, y = network.tensors[node.input], network.tensors[node.output]
    if max(-y.range.low, y.range.high) >= LARGEST_EXACT_FLOAT and not _inside(network, node):
        yield UserError(
            f"its sums reach {y.range}, beyond the ±2^24 that FINN's tensors hold exactly",
            layer=node.name,
            remedy="put an activation quantizer alone behind it, or use fewer bits for weights, "
            "scales or activations",
        )
    if isinstance(node, (Convolution, Pad)) and any(node.pads):
        padded = x.range.including(node.pad_code)
        if (padded.bits, padded.signed) != (x.range.bits, x.range.signed):
            yield UserError(
                f"its padding has code {node.pad_code}, its input {x.range} takes "
                f"{x.range.bits} bits",
                layer=node.name,
                remedy="use an activation quantizer that has the padding's code, or no padding",
            )
    if isinstance(node, Threshold) and len({*node.base.tolist()}) > 1:
        yield UserError(
            f"its channels start from different codes {sorted(set(node.base.tolist()))}",
            layer=node.name,
            remedy="use one quantizer for the whole layer",
        )
    elif isinstance(node, (MaxPool, SumPool)) and any(
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
    elif isinstance(node, ArgMax) and len(x.shape) != 1:
        yield UserError(
            f"arg-max over an input of shape {x.shape}",
            layer=node.name,
            remedy="flatten and classify with a linear layer first",
        )


def _order_is_free(network: IntegerNetwork, node: Flatten) -> bool:
    _, height, width = network.tensors[node.input].shape
    readers = [other for other in network.nodes if node.output in other.inputs]
    linear = all(isinstance(reader, Linear) for reader in readers)
    return bool(readers) and (height * width == 1 or linear)
