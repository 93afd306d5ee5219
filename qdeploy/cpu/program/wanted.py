# SPDX-License-Identifier: Apache-2.0
"""Which layouts of each tensor the steps of a network read and write, from the output back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import accumulate

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.parts import fits_32_bits
from qdeploy.cpu.program.choice import Choice, choose
from qdeploy.cpu.program.lattices import lattices
from qdeploy.cpu.program.layers import Layer, channels_stay, image_shape, sources
from qdeploy.cpu.program.layouts import Border, Layout, Levels, Words, serves, with_both_borders
from qdeploy.cpu.program.segments import segments
from qdeploy.integer import (
    ArgMax,
    Concat,
    Convolution,
    IntegerNetwork,
    MaxPool,
    Pad,
    Requantize,
    SumPool,
)

_LOWEST = -(1 << 31)
_MOST_SEGMENTS = 4096  # each is some code


class NoKernel(Exception):  # noqa: N818 (it is no error: the portable form computes the layer)
    """A layer for which there is no kernel; the message says why."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node, self.reason = node, reason


class Layouts:
    """The layouts that are needed, as far as layers were visited.

    Attributes:
        lattices: of the tensors that can be kept as levels.
        wanted: the layouts of each tensor.
        choices: how matrix layers of bytes are computed, by their outputs.
    """

    def __init__(self, network: IntegerNetwork, target: Target) -> None:
        self.target = target
        self.tensors = network.tensors
        self.lattices = lattices(network)
        self.wanted: dict[str, list[Layout]] = defaultdict(list)
        self.choices: dict[str, Choice] = {}

    def visit(self, layer: Layer) -> tuple[Layout, list[Layout]]:
        """What the layer's step writes and reads, when all readers of its output were visited."""
        written = self._written(layer)
        read = self._read(layer, written)
        for name, layout in zip(layer.inputs, read, strict=True):
            self.want(name, layout)
        return written, read

    def plain(self, name: str) -> Layout:
        """The layout that steps without weights read."""
        if name in self.lattices:
            return Levels(Packing(1, 8), self.lattices[name])
        self._check_range(name)
        return Words()

    def _check_range(self, name: str) -> None:
        values = self.tensors[name].range
        if not fits_32_bits(values.low, values.high):
            raise NoKernel(name, "its integers do not fit 32 bits")

    def _padded(self, name: str, code: int, border: Border) -> Layout:
        """The plain layout with a border of `code`."""
        if not any(border):
            return self.plain(name)
        if name in self.lattices:
            lattice = self.lattices[name].holding(code)
            if lattice.count <= 256:
                level = lattice.level(code)
                return Levels(Packing(1, 8), lattice, (level, level), border)
        self._check_range(name)
        return Words(code, border)

    def want(self, name: str, layout: Layout) -> None:
        """One buffer for layouts that differ in their borders only."""
        for index, present in enumerate(self.wanted[name]):
            both = with_both_borders(present, layout)
            if both is not None:
                self.wanted[name][index] = both
                return
        self.wanted[name].append(layout)

    def _written(self, layer: Layer) -> Layout:
        """The layout that the layer's own step writes; copies have the others."""
        wanted = self.wanted[layer.output]
        if len(wanted) == 1 and self._writes(layer, wanted[0]):
            return wanted[0]
        plain = self.plain(layer.output)
        self.want(layer.output, plain)
        return plain

    def _writes(self, layer: Layer, layout: Layout) -> bool:
        """Whether the layer's step can write any such layout."""
        node, block = layer.node, layout.packing.block if isinstance(layout, Levels) else 1
        if layer.threshold is not None and isinstance(layout, Words):
            return False
        if isinstance(node, MaxPool):
            return True
        if isinstance(node, Convolution) and node.groups > 1 and not layer.depthwise:
            return node.weights.shape[0] // node.groups % block == 0
        if isinstance(node, Concat):
            ends = accumulate(self.tensors[name].channels for name in layer.inputs)
            return all(end % block == 0 for end in list(ends)[:-1])
        if isinstance(node, (ArgMax, Requantize)) or self.moved(layer):
            return serves(layout, self.plain(layer.output))
        return True

    def moved(self, layer: Layer) -> bool:
        """Whether single integers are moved."""
        x, y = self.tensors[layer.input], self.tensors[layer.output]
        return not channels_stay(layer.node, x) and sources(layer.node, x, y) is not None

    def _read(self, layer: Layer, written: Layout) -> list[Layout]:
        """The layouts that the layer's step reads to write that one."""
        node, name = layer.node, layer.input
        if isinstance(node, Convolution) and layer.depthwise:
            return [self._padded(name, node.pad_code, node.pads)]
        if isinstance(node, Convolution):
            choice = self._choice(node, name, layer.output)
            if choice is None:
                self._check_range(name)
                return [Words(node.pad_code, node.pads)]
            self.choices[layer.output] = choice
            return [choice.layout]
        if isinstance(node, MaxPool):
            if isinstance(written, Words):
                return [Words(_LOWEST, node.pads)]
            return [replace(written, pad=(0, 0), border=node.pads)]
        if isinstance(node, SumPool):
            return [self._padded(name, 0, node.pads)]
        if isinstance(node, Pad):
            return [self._padded(name, node.pad_code, node.pads)]
        return [self.plain(name) for name in layer.inputs]

    def _choice(self, node: Convolution, name: str, output: str) -> Choice | None:
        """The kernel for inputs that are bytes; None if they are not."""
        if name not in self.lattices or len(segments(node, 0)) * node.groups > _MOST_SEGMENTS:
            return None
        _, height, width = image_shape(self.tensors[output])
        multiplies = self.target.products != "widening" and height * width > 1
        lattice, channels = self.lattices[name], self.tensors[name].channels
        return choose(node, lattice, channels, self.target.table_bytes, multiplies=multiplies)
