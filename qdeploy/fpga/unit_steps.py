# SPDX-License-Identifier: Apache-2.0
"""Rewrite thresholds so that each adds exactly one, as FINN's MultiThreshold does.

A channel whose scale was negative counts down. Negating its weights turns the count around:
with x' = -x, [x >= t] = 1 - [x' >= 1 - t], so base + step·#{x >= t} = (base + step·T) -
step·#{x' >= 1 - t}. A step of 2 is each threshold twice, but for bipolar tensors, which stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdeploy.errors import UserError
from qdeploy.fpga.bipolar import bipolar_tensors
from qdeploy.integer import (
    Builder,
    Convolution,
    IntegerNetwork,
    Integers,
    Linear,
    Meaning,
    Plane,
    Threshold,
    Weights,
)


def unit_steps(network: IntegerNetwork) -> IntegerNetwork:
    """The same network with step +1 in every threshold, +2 where the output is bipolar.

    Only the accumulators in front of thresholds with negative steps change (by sign, where the step
    is negative); every other tensor keeps its values.

    Raises:
        UserError: if a negative step does not directly follow a convolution or linear layer that
            nothing else reads, or the channels of a threshold have steps of different size.
    """
    nodes = {node.output: node for node in network.nodes}
    meanings = {name: tensor.meaning for name, tensor in network.tensors.items()}
    bipolar = bipolar_tensors(network)
    for node in network.nodes:
        if not isinstance(node, Threshold):
            continue
        rising = node
        if (node.step < 0).any():
            producer = nodes.get(node.input)
            alone = [node.input in other.inputs for other in network.nodes].count(True) == 1
            if not isinstance(producer, (Convolution, Linear)) or not alone:
                raise UserError(
                    f"its scale is negative in {int((node.step < 0).sum())} channels and no "
                    "convolution or linear layer that nothing else reads precedes it directly",
                    layer=node.name,
                    remedy="put the batch normalization right behind the layer with the weights "
                    "(pooling after the activation), or keep its weight positive",
                )
            channels = network.tensors[node.input].channels
            sign = np.broadcast_to(np.where(node.step < 0, -1, 1), channels)
            nodes[producer.output] = _negated(producer, sign)
            meanings[producer.output] = _negated_meaning(meanings[producer.output], sign)
            rising = _rising(node)
        nodes[node.output] = rising if node.output in bipolar else _repeated(rising)
    builder = Builder()
    x = network.input_tensor
    builder.input(x.name, x.shape, x.range, x.meaning.scale[0])
    builder.set_meaning(x.name, x.meaning)
    for output, node in nodes.items():
        builder.add(node, meanings[output])
    return replace(network, nodes=tuple(nodes.values()), tensors=builder.tensors)


def _negated(node: Convolution | Linear, sign: Integers) -> Convolution | Linear:
    signs = sign.reshape(-1, *(1,) * (len(node.weights.shape) - 1))
    planes = tuple(
        Plane((plane.codes * signs).astype(np.int32), plane.multipliers)
        for plane in node.weights.planes
    )
    return replace(node, weights=Weights(planes))


def _negated_meaning(meaning: Meaning, sign: Integers) -> Meaning:
    scale = meaning.scale * (len(sign) // len(meaning.scale))
    return Meaning(tuple(a * int(s) for a, s in zip(scale, sign, strict=True)), meaning.offset)


def _rising(node: Threshold) -> Threshold:
    """The threshold behind negated accumulators."""
    channels = max(len(node.thresholds), len(node.step))
    thresholds = np.broadcast_to(node.thresholds, (channels, node.thresholds.shape[1]))
    falling = np.broadcast_to(node.step < 0, channels)[:, np.newaxis]
    last = node.base + node.step * node.thresholds.shape[1]
    return replace(
        node,
        thresholds=np.where(falling, 1 - thresholds[:, ::-1], thresholds),
        base=np.where(node.step < 0, last, node.base),
        step=np.abs(node.step),
    )


def _repeated(node: Threshold) -> Threshold:
    if (node.step != node.step[0]).any():
        raise UserError(
            f"its channels count in steps of {sorted(set(node.step.tolist()))}",
            layer=node.name,
            remedy="use one quantizer with one bit width for the whole layer",
        )
    thresholds = np.repeat(node.thresholds, int(node.step[0]), axis=1)
    return replace(node, thresholds=thresholds, step=np.ones(1, np.int64))
