# SPDX-License-Identifier: Apache-2.0
"""From an integer network to steps over buffers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import Output, Quantize, quantize
from qdeploy.cpu.program.channelwise_planning import ChannelwisePlanner
from qdeploy.cpu.program.choice import Choice, choose
from qdeploy.cpu.program.constants import ALIGNMENT, Constants
from qdeploy.cpu.program.gathering import Largest, gather
from qdeploy.cpu.program.lattices import lattices
from qdeploy.cpu.program.layers import Layer, channels_stay, image_shape, layers, moved
from qdeploy.cpu.program.layouts import (
    Border,
    Buffer,
    Layout,
    Levels,
    Words,
    serves,
    with_both_borders,
)
from qdeploy.cpu.program.level_steps import level_steps
from qdeploy.cpu.program.matrix_planning import MatrixPlanner
from qdeploy.cpu.program.pooling import MaximumPool
from qdeploy.integer import (
    ArgMax,
    Concat,
    Convolution,
    IntegerNetwork,
    MaxPool,
    Pad,
    Requantize,
    SumPool,
    Tensor,
)

_LOWEST = -(1 << 31)
_MOST_BYTES = (1 << 31) - 1  # places within an image are int32


class Step(Protocol):
    """Something that a program does."""

    @property
    def layer(self) -> str:
        """Name in the network."""

    @property
    def description(self) -> str:
        """What computes it and why, for people."""

    @property
    def units(self) -> int:
        """Parts that can be done in parallel."""

    @property
    def work(self) -> int:
        """Multiplications (or what takes as long) for an image."""

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """A function of constants, arena, images, first unit, end of units, and what it adds."""


class NoKernel(Exception):  # noqa: N818 (it is no error: the portable form computes the layer)
    """A layer for which there is no kernel; the message says why."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node, self.reason = node, reason


@dataclass(frozen=True, eq=False)
class Plan:
    """What a program does, in order.

    Attributes:
        quantize: one step for each layout of the input.
        steps: the layers.
        output: the last step.
        buffers: all of an image.
        image_bytes: of an image's buffers.
        constants: the block that all steps read.
    """

    quantize: tuple[Quantize, ...]
    steps: tuple[Step, ...]
    output: Output
    buffers: tuple[Buffer, ...]
    image_bytes: int
    constants: bytes


def plan(network: IntegerNetwork, target: Target) -> Plan:
    """The steps of the whole network.

    Raises:
        NoKernel: if a layer needs the portable form.
    """
    return _Planner(network, target).plan()


class _Planner:
    def __init__(self, network: IntegerNetwork, target: Target) -> None:
        self.network = network
        self.tensors = network.tensors
        self.layers = layers(network)
        self.lattices = lattices(network)
        self.wanted: dict[str, list[Layout]] = defaultdict(list)
        self.buffers: dict[str, list[Buffer]] = defaultdict(list)
        self.constants = Constants()
        self.matrices = MatrixPlanner(self.constants, target)
        self.sums = ChannelwisePlanner(self.constants, target)
        self.choices: dict[str, Choice] = {}
        self.size = 0

    def plan(self) -> Plan:
        network = self.network
        self._want(network.output, self._plain(network.output))
        read = {}
        for layer in reversed(self.layers):
            written = self._written(layer)
            read[layer.output] = written, self._read(layer, written)
            for name, layout in zip(layer.inputs, read[layer.output][1], strict=True):
                self._want(name, layout)
        quantizers, steps = self._quantizers()
        for layer in self.layers:
            self._allocate(layer.output)
            written, layouts = read[layer.output]
            inputs = [self._buffer(*x) for x in zip(layer.inputs, layouts, strict=True)]
            y = self._buffer(layer.output, written)
            steps += [*self._steps(layer, inputs, y), *self._copies(layer, y)]
        buffers = tuple(b for many in self.buffers.values() for b in many)
        if self.size > _MOST_BYTES:
            raise NoKernel("network", f"an image takes {self.size} bytes")
        output = self._output()
        return Plan(
            tuple(quantizers), tuple(steps), output, buffers, self.size, self.constants.block()
        )

    # Which layouts are wanted.

    def _plain(self, name: str) -> Layout:
        """The layout that steps without weights read."""
        if name in self.lattices:
            return Levels(Packing(1, 8), self.lattices[name])
        self._check_range(name)
        return Words()

    def _check_range(self, name: str) -> None:
        values = self.tensors[name].range
        if values.low < _LOWEST or values.high >= -_LOWEST:
            raise NoKernel(name, "its integers do not fit 32 bits")

    def _padded(self, name: str, code: int, border: Border) -> Layout:
        """The plain layout with a border of `code`."""
        if not any(border):
            return self._plain(name)
        if name in self.lattices:
            lattice = self.lattices[name].holding(code)
            if lattice.count <= 256:
                level = lattice.level(code)
                return Levels(Packing(1, 8), lattice, (level, level), border)
        self._check_range(name)
        return Words(code, border)

    def _want(self, name: str, layout: Layout) -> None:
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
        plain = self._plain(layer.output)
        self._want(layer.output, plain)
        return plain

    def _writes(self, layer: Layer, layout: Layout) -> bool:
        """Whether the layer's step can write any such layout."""
        node, fields = layer.node, layout.packing.fields if isinstance(layout, Levels) else 1
        if layer.threshold is not None and isinstance(layout, Words):
            return False
        if isinstance(node, MaxPool):
            return True
        if isinstance(node, Convolution) and node.groups > 1 and not layer.depthwise:
            return node.weights.shape[0] // node.groups % fields == 0
        if isinstance(node, Concat):
            ends = accumulate(self.tensors[name].channels for name in layer.inputs)
            return all(end % fields == 0 for end in list(ends)[:-1])
        if isinstance(node, ArgMax) or self._moved(layer):
            return serves(layout, self._plain(layer.output))
        return True

    def _moved(self, layer: Layer) -> bool:
        """Whether single integers are moved."""
        x, y = self.tensors[layer.input], self.tensors[layer.output]
        return not channels_stay(layer.node, x) and moved(layer.node, x, y) is not None

    def _read(self, layer: Layer, written: Layout) -> list[Layout]:
        """The layouts that the layer's step reads to write that one."""
        node, name = layer.node, layer.input
        if isinstance(node, Requantize):
            raise NoKernel(node.name, f"no kernel for {node.kind}")
        if isinstance(node, Convolution) and layer.depthwise:
            return [self._padded(name, node.pad_code, node.pads)]
        if isinstance(node, Convolution):
            self.choices[layer.output] = self._choice(layer)
            return [self.choices[layer.output].layout]
        if isinstance(node, MaxPool):
            if isinstance(written, Words):
                return [Words(_LOWEST, node.pads)]
            return [replace(written, pad=(0, 0), border=node.pads)]
        if isinstance(node, SumPool):
            return [self._padded(name, 0, node.pads)]
        if isinstance(node, Pad):
            return [self._padded(name, node.pad_code, node.pads)]
        return [self._plain(name) for name in layer.inputs]

    def _choice(self, layer: Layer) -> Choice:
        node, lattice = layer.node, self.lattices.get(layer.input)
        assert isinstance(node, Convolution)
        if lattice is None:
            raise NoKernel(node.name, "its inputs are wider than 8 bits")
        choice = choose(node, lattice, self.tensors[layer.input].channels)
        if choice is None:
            raise NoKernel(node.name, "inputs and padding together are wider than 8 bits")
        return choice

    # Buffers and steps.

    def _allocate(self, name: str) -> None:
        for layout in self.wanted[name]:
            buffer = Buffer(*image_shape(self.tensors[name]), layout, self.size)
            self.size += -(-buffer.bytes // ALIGNMENT) * ALIGNMENT
            self.buffers[name].append(buffer)

    def _buffer(self, name: str, layout: Layout) -> Buffer:
        """The buffer of `name` that serves a reader of `layout`."""
        return next(buffer for buffer in self.buffers[name] if serves(buffer.layout, layout))

    def _quantizers(self) -> tuple[list[Quantize], list[Step]]:
        """The steps that write the input: as levels, and then as integers."""
        quantizer, name = self.network.quantizer, self.network.input
        if name not in self.lattices:
            raise NoKernel(name, "it has more than 256 codes")
        if any(isinstance(layout, Words) for layout in self.wanted[name]):
            self._want(name, self._plain(name))
        self._allocate(name)
        quantizers, copies = [], []
        for y in self.buffers[name]:
            if isinstance(y.layout, Levels):
                first = y.layout.lattice.level(quantizer.low)
                height = quantizer.step // y.layout.lattice.step
                quantizers.append(quantize(quantizer.boundaries, y, first, height, self.constants))
            else:
                x = self._buffer(name, self._plain(name))
                copies.append(self._copy("input", name, x, y))
        return quantizers, copies

    def _output(self) -> Output:
        name, function = self.network.output, self.network.output_function
        if function:
            raise NoKernel(name, f"no kernel for {function}")
        x, tensor = self._buffer(name, self._plain(name)), self.tensors[name]
        parts = [_for_each(part.astype(np.float64), tensor) for part in tensor.affine()]
        per_channel = all((part == part[:, :1, :1]).all() for part in parts)
        if per_channel:
            parts = [part[:, 0, 0] for part in parts]
        scale, offset = (self.constants.add(part) for part in parts)
        return Output(x, scale, offset, per_channel)

    def _steps(self, layer: Layer, inputs: list[Buffer], y: Buffer) -> list[Step]:
        node, x = layer.node, inputs[0]
        values = self.tensors[node.output].range
        steps = None
        if layer.threshold is not None:
            if not isinstance(y.layout, Levels):
                raise NoKernel(layer.threshold.name, "its outputs are wider than 8 bits")
            steps = level_steps(layer.threshold, y.layout.lattice, y.channels)
            values = self.tensors[layer.threshold.input].range
        planned: list[Step | None]
        if isinstance(node, Convolution) and not layer.depthwise:
            choice = self.choices[layer.output]
            planned = [
                self.matrices.plan(node, group, choice, x, y, values, steps)
                for group in range(node.groups)
            ]
        elif isinstance(node, MaxPool):
            origin = (-node.pads[0], -node.pads[1])
            planned = [
                MaximumPool(node.name, x, y, node.kernel, node.strides, node.dilations, origin)
            ]
        elif isinstance(node, ArgMax):
            planned = [Largest(node.name, x, y)]
        elif isinstance(node, Concat):
            ends = accumulate((part.channels for part in inputs), initial=0)
            planned = [
                self.sums.copy(node.name, part, y, channel, self.tensors[name].range)
                for name, part, channel in zip(layer.inputs, inputs, ends, strict=False)
            ]
        elif self._moved(layer):
            sources = moved(node, self.tensors[layer.input], self.tensors[layer.output])
            assert sources is not None
            planned = [gather(node.name, x, y, sources, self.constants)]
        else:
            planned = [self.sums.plan(node, inputs, y, values, steps)]
        ready = [step for step in planned if step is not None]
        if len(ready) < len(planned):
            raise NoKernel(node.name, "its sums do not fit 32 bits")
        return ready

    def _copies(self, layer: Layer, x: Buffer) -> list[Step]:
        """The steps for all other layouts of the layer's output than that of `x`."""
        name = layer.output
        others = (y for y in self.buffers[name] if y is not x)
        return [self._copy(layer.node.name, name, x, y) for y in others]

    def _copy(self, layer: str, name: str, x: Buffer, y: Buffer) -> Step:
        copy = self.sums.copy(layer, x, y, 0, self.tensors[name].range)
        if copy is None:
            raise NoKernel(name, "its integers do not fit 32 bits")
        return copy


def _for_each(numbers: NDArray[np.float64], tensor: Tensor) -> NDArray[np.float64]:
    """A number for each integer of a tensor, float64 [C, H, W]."""
    return np.broadcast_to(numbers, tensor.shape).reshape(image_shape(tensor))
