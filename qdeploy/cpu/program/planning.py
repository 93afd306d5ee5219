# SPDX-License-Identifier: Apache-2.0
"""From a part of an integer network to steps over buffers."""

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
from qdeploy.cpu.parts import Part, fits_32_bits, why_no_kernel
from qdeploy.cpu.program.boundary import FLOAT32, FLOAT64, INT32, INT64, Argument, Output
from qdeploy.cpu.program.channelwise_planning import ChannelwisePlanner
from qdeploy.cpu.program.constants import ALIGNMENT, Constants
from qdeploy.cpu.program.elementwise import Divide, Elementwise, Search
from qdeploy.cpu.program.exchange import Give, Receive
from qdeploy.cpu.program.gathering import Largest, gather
from qdeploy.cpu.program.layers import Layer, image_shape, layers, sources
from qdeploy.cpu.program.layouts import Buffer, Layout, Levels, Words, serves
from qdeploy.cpu.program.level_steps import level_steps
from qdeploy.cpu.program.matrix_planning import MatrixPlanner
from qdeploy.cpu.program.pooling import MaximumPool
from qdeploy.cpu.program.quantizing import Quantize, quantize
from qdeploy.cpu.program.wanted import Layouts, NoKernel
from qdeploy.cpu.program.wide import wide_products
from qdeploy.integer import (
    ArgMax,
    Concat,
    Convolution,
    Lstm,
    MaxPool,
    Requantize,
    Tensor,
    Threshold,
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
        """A function of constants, arena, images, first unit and end of units."""


Entry = Quantize | Receive
Exit = Output | Give


@dataclass(frozen=True, eq=False)
class Plan:
    """What a program does, in order.

    Attributes:
        entries: steps that also read arguments of the program.
        steps: the layers.
        exits: steps that also write arguments of the program.
        inputs, outputs: the program's arguments, which are numbered one behind the other.
        buffers: all of an image.
        image_bytes: of an image's buffers.
        constants: the block that all steps read.
    """

    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]
    exits: tuple[Exit, ...]
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    buffers: tuple[Buffer, ...]
    image_bytes: int
    constants: bytes


def plan(part: Part, target: Target) -> Plan:
    """The steps of a part of a network.

    Raises:
        NoKernel: if a layer needs the portable form.
    """
    return _Planner(part, target).plan()


class _Planner:
    def __init__(self, part: Part, target: Target) -> None:
        self.part, self.network, self.target = part, part.network, target
        self.tensors = part.network.tensors
        for node in part.nodes:
            if reason := why_no_kernel(node, part.network):
                raise NoKernel(node.name, reason)
            if isinstance(node, Lstm):
                raise NoKernel(node.name, "an LSTM is a program of its own")
        for name in (*part.inputs, *(node.output for node in part.nodes)):
            if 4 * prod(self.tensors[name].shape) > _MOST_BYTES:
                raise NoKernel(name, f"shape {self.tensors[name].shape} is too large")
        self.layers = layers(part)
        self.layouts = Layouts(part.network, target)
        self.buffers: dict[str, list[Buffer]] = defaultdict(list)
        self.constants = Constants()
        self.matrices = MatrixPlanner(self.constants, target)
        self.sums = ChannelwisePlanner(self.constants, target)
        self.size = 0

    def plan(self) -> Plan:
        for name in self.part.outputs:
            self.layouts.want(name, self.layouts.plain(name))
        read = {layer.output: self.layouts.visit(layer) for layer in reversed(self.layers)}
        entries, steps = self._entries()
        for layer in self.layers:
            self._allocate(layer.output)
            written, layouts = read[layer.output]
            inputs = [self._buffer(*x) for x in zip(layer.inputs, layouts, strict=True)]
            y = self._buffer(layer.output, written)
            steps += [
                *self._steps(layer, inputs, y),
                *self._copies(layer.node.name, layer.output, y),
            ]
        buffers = tuple(b for many in self.buffers.values() for b in many)
        if self.size > _MOST_BYTES:
            raise NoKernel("network", f"an image takes {self.size} bytes")
        kind = FLOAT32 if self.part.begins else INT32
        given = tuple(Argument(kind, self.tensors[name].shape) for name in self.part.inputs)
        exits, made = self._exits(len(given))
        return Plan(
            entries=tuple(entries),
            steps=tuple(steps),
            exits=tuple(exits),
            inputs=given,
            outputs=tuple(made),
            buffers=buffers,
            image_bytes=self.size,
            constants=self.constants.block(),
        )

    def _allocate(self, name: str) -> None:
        for layout in self.layouts.wanted[name]:
            buffer = Buffer(*image_shape(self.tensors[name]), layout, self.size)
            self.size += -(-buffer.bytes // ALIGNMENT) * ALIGNMENT
            self.buffers[name].append(buffer)

    def _buffer(self, name: str, layout: Layout) -> Buffer:
        """The buffer of `name` that serves a reader of `layout`."""
        return next(buffer for buffer in self.buffers[name] if serves(buffer.layout, layout))

    def _entries(self) -> tuple[list[Entry], list[Step]]:
        """The steps that write what is read from outside, and those for its other layouts."""
        entries: list[Entry] = []
        copies: list[Step] = []
        for argument, name in enumerate(self.part.inputs):
            plain, wanted = self.layouts.plain(name), self.layouts.wanted[name]
            # A quantizer writes levels in any packing.
            levels = self.part.begins and isinstance(plain, Levels)
            if not levels or any(isinstance(layout, Words) for layout in wanted):
                self.layouts.want(name, plain)
            self._allocate(name)
            if levels:
                made = [y for y in self.buffers[name] if isinstance(y.layout, Levels)]
            else:
                made = [self._buffer(name, plain)]
            entries += [self._entry(argument, name, y) for y in made]
            copies += self._copies("input", name, *made)
        return entries, copies

    def _entry(self, argument: int, name: str, y: Buffer) -> Entry:
        if not self.part.begins:
            values = y.layout.lattice if isinstance(y.layout, Levels) else self.tensors[name].range
            return Receive(y, values.low, values.high, (argument,))
        quantizer = self.network.quantizer
        first, height = quantizer.low, quantizer.step
        if isinstance(y.layout, Levels):
            first, height = y.layout.lattice.level(first), height // y.layout.lattice.step
        return quantize(quantizer.boundaries, y, first, height, self.constants)

    def _exits(self, first: int) -> tuple[list[Exit], list[Argument]]:
        """The last steps, and the arguments that they write, which are numbered from `first`."""
        exits: list[Exit] = []
        made: list[Argument] = []
        for name in self.part.outputs:
            place, shape = first + len(made), self.tensors[name].shape
            x = self._buffer(name, self.layouts.plain(name))
            if name == self.network.output:
                wide = self.network.output_function != ""
                exits.append(self._output(x, wide, (place, place + 1)))
                made += [Argument(FLOAT64 if wide else FLOAT32, shape), Argument(INT64, shape)]
            else:
                exits.append(Give(x, (place,)))
                made.append(Argument(INT32, shape))
        return exits, made

    def _output(self, x: Buffer, wide: bool, arguments: tuple[int, ...]) -> Output:
        tensor = self.network.output_tensor
        parts = [_for_each(part.astype(np.float64), tensor) for part in tensor.affine()]
        per_channel = all((part == part[:, :1, :1]).all() for part in parts)
        if per_channel:
            parts = [part[:, 0, 0] for part in parts]
        scale, offset = (self.constants.add(part) for part in parts)
        return Output(x, scale, offset, per_channel, wide, arguments)

    def _steps(self, layer: Layer, inputs: list[Buffer], y: Buffer) -> list[Step]:
        node, x = layer.node, inputs[0]
        values = self.tensors[node.output].range
        steps = None
        if layer.threshold is not None and isinstance(y.layout, Levels):
            steps = level_steps(layer.threshold, y.layout.lattice, y.channels)
            values = self.tensors[layer.threshold.input].range
        planned: list[Step | None]
        if isinstance(node, Convolution) and not layer.depthwise:
            choice = self.layouts.choices.get(layer.output)
            planned = [
                self.matrices.plan(node, group, choice, x, y, values, steps)
                if choice
                else wide_products(node, group, x, y, values, steps, self.constants, self.target)
                for group in range(node.groups)
            ]
        elif isinstance(node, MaxPool):
            origin = (-node.pads[0], -node.pads[1])
            planned = [
                MaximumPool(node.name, x, y, node.kernel, node.strides, node.dilations, origin)
            ]
        elif isinstance(node, Requantize):
            if not fits_32_bits(values.low - 1, values.high + 1):
                raise NoKernel(node.name, "its integers do not fit 32 bits")
            divide = Divide.of(node.quotient, values, self.constants)
            planned = [Elementwise(node.name, x, y, divide)]
        elif isinstance(node, Threshold) and steps is None:
            search = Search.of(node, y.channels, self.tensors[node.input].range, self.constants)
            planned = [Elementwise(node.name, x, y, search)]
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

    def _copies(self, layer: str, name: str, *made: Buffer) -> list[Step]:
        """The steps for all other layouts of a tensor than those made already."""
        others = [y for y in self.buffers[name] if y not in made]
        return [self._copy(layer, name, made, y) for y in others]

    def _copy(self, layer: str, name: str, made: tuple[Buffer, ...], y: Buffer) -> Step:
        plain = self.layouts.plain(name)
        x = next(x for x in made if serves(x.layout, plain))
        copy = self.sums.copy(layer, x, y, 0, self.tensors[name].range)
        if copy is None:
            raise NoKernel(name, "its integers do not fit 32 bits")
        return copy


def _for_each(numbers: NDArray[np.float64], tensor: Tensor) -> NDArray[np.float64]:
    """A number for each integer of a tensor, float64 [C, H, W]."""
    return np.broadcast_to(numbers, tensor.shape).reshape(image_shape(tensor))
