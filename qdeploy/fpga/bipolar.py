# SPDX-License-Identifier: Apache-2.0
"""Which tensors hold only -1 and +1, so that hardware stores one bit per element."""

from __future__ import annotations

from qdeploy.integer import (
    ArgMax,
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Threshold,
    ValueRange,
)

_PASSING = (Flatten, MaxPool)
_BIPOLAR = ValueRange(-1, 1)


def bipolar_tensors(network: IntegerNetwork) -> set[str]:
    """Names of the tensors whose every element is -1 or +1 and whose readers take them as bits."""
    found = set()
    if network.input_tensor.range == _BIPOLAR and network.quantizer.step == 2:
        found.add(network.input)
    for node in network.nodes:
        passes = isinstance(node, _PASSING) and node.input in found
        if passes or (isinstance(node, Threshold) and is_bipolar(node)):
            found.add(node.output)
    # What one reader needs as a number stays one all the way back to where it is made.
    for node in reversed(network.nodes):
        if not _takes_bits(node) or (isinstance(node, _PASSING) and node.output not in found):
            found.difference_update(node.inputs)
    for node in network.nodes:
        if isinstance(node, _PASSING) and node.input not in found:
            found.discard(node.output)
    return found


def is_bipolar(node: Threshold) -> bool:
    """Whether the outputs are -1 and +1, by one threshold."""
    return node.thresholds.shape[1] == 1 and bool(
        ((node.base == -1) & (node.step == 2) | (node.base == 1) & (node.step == -2)).all()
    )


def _takes_bits(node: Node) -> bool:
    if isinstance(node, Convolution):
        return not any(node.pads) or abs(node.pad_code) == 1
    return isinstance(node, (Linear, *_PASSING, ArgMax))
