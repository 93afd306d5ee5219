# SPDX-License-Identifier: Apache-2.0
"""Which codes each tensor of a network can hold."""

from __future__ import annotations

from math import gcd, prod

from qdeploy.cpu.parts import fits_32_bits
from qdeploy.cpu.program.layouts import Lattice
from qdeploy.cpu.program.level_steps import lattice_of
from qdeploy.integer import (
    Add,
    Concat,
    Flatten,
    IntegerNetwork,
    MaxPool,
    Node,
    Pad,
    Reshape,
    Slice,
    SumPool,
    Threshold,
    Transpose,
    Upsample,
)

_SAME = (MaxPool, Flatten, Reshape, Transpose, Slice, Upsample)


def lattices(network: IntegerNetwork) -> dict[str, Lattice]:
    """A lattice that holds every tensor's codes, for those that can be kept as bytes."""
    quantizer = network.quantizer
    count = len(quantizer.boundaries) + 1
    found = {network.input: Lattice(quantizer.low, quantizer.step, count)}
    for node in network.nodes:
        lattice = _of(node, [found[name] for name in node.inputs])
        if lattice is None:
            values = network.tensors[node.output].range
            # Two codes at least, one apart: sums are written as levels of step 1.
            lattice = Lattice(values.low, 1, max(2, values.high - values.low + 1))
        found[node.output] = lattice
    return {
        name: lattice
        for name, lattice in found.items()
        if lattice.count <= 256 and fits_32_bits(lattice.low, lattice.high)
    }


def _of(node: Node, inputs: list[Lattice]) -> Lattice | None:
    """The codes of the node's output; None: all integers of its range."""
    x = inputs[0]
    if isinstance(node, Threshold):
        return lattice_of(node)
    if isinstance(node, _SAME):
        return x
    if isinstance(node, Pad):
        return x.holding(node.pad_code) if any(node.pads) else x
    if isinstance(node, Concat):
        for other in inputs[1:]:
            x = x.including(other)
        return x
    if isinstance(node, SumPool):
        x = x.holding(0) if any(node.pads) else x
        return _weighted([(1, x)] * prod(node.kernel))
    if isinstance(node, Add):
        return _weighted(list(zip(node.multipliers, inputs, strict=True)))
    return None


def _weighted(terms: list[tuple[int, Lattice]]) -> Lattice:
    """The sums of codes times factors."""
    ends = [sorted((factor * x.low, factor * x.high)) for factor, x in terms]
    low, high = sum(end[0] for end in ends), sum(end[1] for end in ends)
    step = 0
    for factor, x in terms:
        step = gcd(step, factor * x.spacing)
    return Lattice(low, max(step, 1), (high - low) // max(step, 1) + 1)
