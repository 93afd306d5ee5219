# SPDX-License-Identifier: Apache-2.0
"""Signals as images of height 1: hardware streams pixels, whatever their rows are called."""

from __future__ import annotations

from dataclasses import replace

from qdeploy.integer import Builder, IntegerNetwork, Reshape, Slice, Transpose


def as_images(network: IntegerNetwork) -> IntegerNetwork:
    """The same network with [C, 1, L] for every tensor [C, L].

    A Reshape between the two disappears, and its output with it. A network with operators that name
    axes, which have no hardware, stays as it is.
    """
    if any(isinstance(node, (Slice, Transpose)) for node in network.nodes):
        return network
    builder = Builder()
    x = network.input_tensor
    builder.input(x.name, _image(x.shape), x.range, x.meaning.scale[0])
    builder.set_meaning(x.name, x.meaning)
    same: dict[str, str] = {}
    for node in network.nodes:
        source, *others = (same.get(name, name) for name in node.inputs)
        y = network.tensors[node.output]
        if isinstance(node, Reshape) and builder.tensors[source].shape == _image(y.shape):
            same[node.output] = source
            continue
        moved = replace(node, input=source, others=tuple(others))
        builder.add(moved, y.meaning)
    output = same.get(network.output, network.output)
    return replace(network, nodes=tuple(builder.nodes), tensors=builder.tensors, output=output)


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape
