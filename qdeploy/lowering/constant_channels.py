# SPDX-License-Identifier: Apache-2.0
"""Channels that always have the same code are left out, exactly.

They come from outputs whose weights are all 0, as ALQ leaves them when it removes all bases of a
group, and from thresholds beyond what a channel's sum can reach. What such a channel adds to the
sums of the next layer is a constant, which moves the thresholds, the addend or the meaning there.
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm, prod

import numpy as np
from numpy.typing import NDArray

from qdeploy.integer import (
    Builder,
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    MaxPool,
    Meaning,
    Node,
    Plane,
    Requantize,
    SumPool,
    Tensor,
    Threshold,
    Weights,
    readers_of,
)
from qdeploy.integer.ranges import accumulator_bounds


def without_constant_channels(network: IntegerNetwork) -> IntegerNetwork:
    """The network without them, with the same real outputs.

    A layer keeps as many as its number of channels needs to have small divisors, as folding wants.
    """
    cut = _Cut(network)
    for node in network.nodes:
        if isinstance(node, Threshold):
            cut.channels_of(node.output)
    return cut.network() if cut.kept else network


class _Cut:
    """A network while channels go.

    Attributes:
        nodes: as they are now, by output.
        kept: channels that a shortened tensor still has, int64.
        shifts: what a tensor's integers lack of what they were, int64 [channels].
    """

    def __init__(self, network: IntegerNetwork) -> None:
        self.source, self.tensors = network, network.tensors
        self.nodes = {node.output: node for node in network.nodes}
        self.kept: dict[str, Integers] = {}
        self.shifts: dict[str, Integers] = {}
        self.readers = readers_of(network.nodes)

    def channels_of(self, output: str) -> None:
        """Leave out constant channels of a Threshold between two layers, if there are any."""
        threshold = self.nodes[output]
        layer, path = _dense(self.nodes.get(threshold.input)), self._path(output)
        reader = _dense(self._only_reader(path[-1]))
        shortened = [threshold.input, *path]
        if (
            layer is None
            or reader is None
            or self._only_reader(threshold.input) is not threshold
            or not all(_per_channel(self.tensors[name]) for name in [*shortened, reader.output])
        ):
            return
        assert isinstance(threshold, Threshold)
        low, high = accumulator_bounds(layer, self.tensors[layer.input].range)
        reached, most = (
            (threshold.thresholds <= end[:, np.newaxis]).sum(axis=1) for end in (low, high)
        )
        codes = (threshold.base + threshold.step * reached) * self._summands(path)
        constant = reached == most
        if isinstance(reader, Convolution) and any(reader.pads):
            constant &= codes == reader.pad_code  # else sums at the border lack less
        ratio = self.tensors[path[-1]].channels // len(constant)
        kept = _kept(constant, _groups(reader.weights, ratio))
        if len(kept) == len(constant):
            return
        gone = np.setdiff1d(np.arange(len(constant)), kept)
        weights = reader.weights.integers()[:, _elements(gone, ratio)]
        shift = weights.reshape(*weights.shape[:2], -1).sum(axis=2) @ codes[gone].repeat(ratio)
        if shift.any() and not self._shifted(reader.output, shift):
            return
        # A constant channel that is kept has the weights of another one, so that a plane of signs
        # stays one.
        rows = np.where(constant, np.flatnonzero(~constant)[0], np.arange(len(constant)))[kept]
        self.nodes[layer.output] = replace(layer, weights=_taken(layer.weights, rows, 0))
        self.nodes[output] = self._shortened(threshold, kept, constant, reached)
        columns = _elements(kept, ratio)
        self.nodes[reader.output] = replace(reader, weights=_taken(reader.weights, columns, 1))
        for name in shortened:
            self.kept[name] = _elements(kept, self.tensors[name].channels // len(constant))

    def network(self) -> IntegerNetwork:
        """All nodes as they are now, with the ranges that follow."""
        source, builder = self.source, Builder()
        x = source.input_tensor
        builder.input(x.name, x.shape, x.range, x.meaning.scale[0])
        builder.set_meaning(x.name, x.meaning)
        for node in self.nodes.values():
            if isinstance(node, Threshold):
                ends = builder.tensors[node.input].range
                node = replace(node, thresholds=node.thresholds.clip(ends.low, ends.high + 1))  # noqa: PLW2901
            builder.add(node, self._meaning(node.output))
        built = builder.network(
            name=source.name,
            quantizer=source.quantizer,
            input_name=source.input_name,
            output_name=source.output_name,
            output=source.output,
        )
        return replace(
            built,
            output_function=source.output_function,
            notes=source.notes,
            left_out=source.weights() - built.weights(),
        )

    def _only_reader(self, name: str) -> Node | None:
        readers = self.readers[name]
        alone = len(readers) == 1 and name != self.source.output
        return self.nodes[readers[0].output] if alone else None

    def _path(self, name: str) -> list[str]:
        """Tensor `name` and what becomes of it before it is multiplied."""
        path = [name]
        while isinstance(reader := self._only_reader(path[-1]), (MaxPool, SumPool, Flatten)):
            if isinstance(reader, SumPool) and any(reader.pads):  # fewer summands at the border
                break
            path.append(reader.output)
        return path

    def _summands(self, path: list[str]) -> int:
        """How many integers were added to one at the end of the path."""
        nodes = [self.nodes[name] for name in path]
        return prod(prod(node.kernel) for node in nodes if isinstance(node, SumPool))

    def _shortened(
        self, node: Threshold, kept: Integers, constant: NDArray[np.bool_], reached: Integers
    ) -> Threshold:
        """Without the other channels; thresholds of constant ones are out of reach."""
        thresholds = node.thresholds
        if constant[kept].any() or len(thresholds) > 1:
            ends = self.tensors[node.input].range
            always = np.arange(thresholds.shape[1]) < reached[:, np.newaxis]
            out_of_reach = np.where(always, ends.low, ends.high + 1)
            thresholds = np.where(constant[:, np.newaxis], out_of_reach, thresholds)[kept]
        base, step = (v if len(v) == 1 else v[kept] for v in (node.base, node.step))
        return replace(node, thresholds=thresholds, base=base, step=step)

    def _shifted(self, name: str, shift: Integers) -> bool:
        """Let what reads tensor `name` add `shift` to it; False where it cannot."""
        reader = self._only_reader(name)
        if isinstance(reader, Threshold):
            moved = reader.thresholds - shift[:, np.newaxis]
            self.nodes[reader.output] = replace(reader, thresholds=moved)
        elif isinstance(reader, Requantize):
            quotient = reader.quotient
            addend = quotient.addend + quotient.multiplier * shift
            self.nodes[reader.output] = replace(reader, quotient=replace(quotient, addend=addend))
        elif name != self.source.output or self.readers[name]:
            return False
        self.shifts[name] = shift
        return True

    def _meaning(self, name: str) -> Meaning:
        meaning = self.tensors[name].meaning
        scale, offset = meaning.scale, meaning.offset
        if name in self.shifts:
            scale, offset = (v * (len(self.shifts[name]) // len(v)) for v in (scale, offset))
            shift = self.shifts[name].tolist()
            offset = tuple(o + s * n for s, o, n in zip(scale, offset, shift, strict=True))
        if name in self.kept:
            kept = self.kept[name]
            scale, offset = (
                v if len(v) == 1 else tuple(v[i] for i in kept) for v in (scale, offset)
            )
        return replace(meaning, scale=scale, offset=offset)


def _dense(node: Node | None) -> Convolution | Linear | None:
    """The node, if it multiplies every channel for every output."""
    if isinstance(node, Linear) or (isinstance(node, Convolution) and node.groups == 1):
        return node
    return None


def _groups(weights: Weights, ratio: int) -> int:
    """Into how many runs multipliers divide the channels, of `ratio` neighbouring inputs each."""
    groups = 1
    for plane in weights.planes:
        if plane.group > 1 and plane.group % ratio == 0:
            groups = lcm(groups, weights.shape[1] // plane.group)
        elif ratio % plane.group:
            return weights.shape[1] // ratio  # a multiplier for a part of a channel
    return groups


def _kept(constant: NDArray[np.bool_], groups: int) -> Integers:
    """All channels that are not constant, and some others: 141 become 144, 63 of 64 stay 64.

    As many of each of some groups of neighbours; all, if all are constant.
    """
    rows = constant.reshape(groups, -1)
    most = int((~rows).sum(axis=1).max()) or rows.shape[1]
    chosen = rows.argsort(axis=1, kind="stable")[:, : _with_small_factors(most)]
    return np.sort((chosen + rows.shape[1] * np.arange(groups)[:, np.newaxis]).ravel())


def _with_small_factors(number: int) -> int:
    """The smallest one not below it that has no prime factors but 2, 3 and 5."""
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 1


def _elements(channels: Integers, ratio: int) -> Integers:
    """Where the channels are, if each has become `ratio` neighbours."""
    return (channels[:, np.newaxis] * ratio + np.arange(ratio)).ravel()


def _per_channel(tensor: Tensor) -> bool:
    """Whether its meaning has one entry, or one for each channel."""
    meaning = tensor.meaning
    if {len(meaning.scale), len(meaning.offset)} == {1}:
        return True
    return meaning.axis == 0 and meaning.block is None


def _taken(weights: Weights, index: Integers, axis: int) -> Weights:
    """Some outputs (axis 0), or inputs (axis 1) of whole groups or as many of every group."""
    planes = []
    for plane in weights.planes:
        multipliers = plane.aligned_multipliers()
        if multipliers.shape[axis] > 1:
            own = index if axis == 0 else np.unique(index // plane.group)
            multipliers = multipliers.take(own, axis)
        planes.append(Plane(plane.codes.take(index, axis), multipliers))
    return Weights(tuple(planes))
