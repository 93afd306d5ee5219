# SPDX-License-Identifier: Apache-2.0
"""From an integer network to steps over buffers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Protocol

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import Output
from qdeploy.cpu.program.channelwise_planning import ChannelwisePlanner
from qdeploy.cpu.program.constants import ALIGNMENT, Constants
from qdeploy.cpu.program.gathering import Largest, gather
from qdeploy.cpu.program.layers import Layer, image_shape, layers, sources
from qdeploy.cpu.program.layouts import Buffer, Layout, Levels, Words, serves
from qdeploy.cpu.program.level_steps import level_steps
from qdeploy.cpu.program.matrix_planning import MatrixPlanner
from qdeploy.cpu.program.pooling import MaximumPool
from qdeploy.cpu.program.quantizing import Quantize, quantize
from qdeploy.cpu.program.wanted import Layouts, NoKernel
from qdeploy.integer import (
    ArgMax,
    Concat,
    Convolution,
    Embedding,
    IntegerNetwork,
    Lstm,
    MaxPool,
    Tensor,
)

__all__ = ["NoKernel", "Plan", "Step", "plan"]

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
        for name, tensor in network.tensors.items():
            if 4 * prod(tensor.shape) > _MOST_BYTES:
                raise NoKernel(name, f"shape {tensor.shape} is too large")
        for node in network.nodes:
            if isinstance(node, (Embedding, Lstm)):
                raise NoKernel(node.name, f"{node.kind} runs in ONNX Runtime's operators")
        self.layers = layers(network)
        self.layouts = Layouts(network, target)
        self.buffers: dict[str, list[Buffer]] = defaultdict(list)
        self.constants = Constants()
        self.matrices = MatrixPlanner(self.constants, target)
        self.sums = ChannelwisePlanner(self.constants, target)
        self.size = 0

    def plan(self) -> Plan:
        network = self.network
        self.layouts.want(network.output, self.layouts.plain(network.output))
        read = {layer.output: self.layouts.visit(layer) for layer in reversed(self.layers)}
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

    def _allocate(self, name: str) -> None:
        for layout in self.layouts.wanted[name]:
            buffer = Buffer(*image_shape(self.tensors[name]), layout, self.size)
            self.size += -(-buffer.bytes // ALIGNMENT) * ALIGNMENT
            self.buffers[name].append(buffer)

    def _buffer(self, name: str, layout: Layout) -> Buffer:
        """The buffer of `name` that serves a reader of `layout`."""
        return next(buffer for buffer in self.buffers[name] if serves(buffer.layout, layout))

    def _quantizers(self) -> tuple[list[Quantize], list[Step]]:
        """The steps that write the input: as levels, and then as integers."""
        quantizer, name = self.network.quantizer, self.network.input
        if name not in self.layouts.lattices:
            raise NoKernel(name, "it has more than 256 codes")
        if any(isinstance(layout, Words) for layout in self.layouts.wanted[name]):
            self.layouts.want(name, self.layouts.plain(name))
        self._allocate(name)
        quantizers, copies = [], []
        for y in self.buffers[name]:
            if isinstance(y.layout, Levels):
                first = y.layout.lattice.level(quantizer.low)
                height = quantizer.step // y.layout.lattice.step
                quantizers.append(quantize(quantizer.boundaries, y, first, height, self.constants))
            else:
                x = self._buffer(name, self.layouts.plain(name))
                copies.append(self._copy("input", name, x, y))
        return quantizers, copies

    def _output(self) -> Output:
        name, function = self.network.output, self.network.output_function
        if function:
            raise NoKernel(name, f"no kernel for {function}")
        x, tensor = self._buffer(name, self.layouts.plain(name)), self.tensors[name]
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
            choice = self.layouts.choices[layer.output]
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
        elif self.layouts.moved(layer):
            places = sources(node, self.tensors[layer.input], self.tensors[layer.output])
            assert places is not None
            planned = [gather(node.name, x, y, places, self.constants)]
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
