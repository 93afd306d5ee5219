# SPDX-License-Identifier: Apache-2.0
"""From an integer network to steps over buffers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.finish import Packing
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.boundary import Output, Quantize, quantize
from qdeploy.cpu.program.choice import Choice, choose, with_unit_kernel
from qdeploy.cpu.program.constants import ALIGNMENT, Constants
from qdeploy.cpu.program.layouts import NO_BORDER, Buffer, Lattice, Layout, Levels, Words, wider
from qdeploy.cpu.program.level_steps import LevelSteps, lattice_of, level_steps
from qdeploy.cpu.program.matrix_planning import MatrixPlanner
from qdeploy.cpu.program.pooling import MaximumPool
from qdeploy.integer import (
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Threshold,
    ValueRange,
)


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


@dataclass(frozen=True, eq=False)
class _Layer:
    """A node, with the thresholds behind it if they are computed with it."""

    node: Node
    threshold: Threshold | None
    output: str


class _Planner:
    def __init__(self, network: IntegerNetwork, target: Target) -> None:
        self.network, self.target = network, target
        self.readers: dict[str, list[Node]] = defaultdict(list)
        for node in network.nodes:
            for name in node.inputs:
                self.readers[name].append(node)
        self.layers = self._layers()
        self.lattices = self._lattices()
        self.choices: dict[str, Choice] = {}
        self.wanted: dict[str, list[Layout]] = defaultdict(list)
        self.buffers: dict[str, list[Buffer]] = defaultdict(list)
        self.constants = Constants()
        self.matrices = MatrixPlanner(self.constants, target)
        self.size = 0

    def plan(self) -> Plan:
        network = self.network
        self._want(network.output, self._plain(network.output))
        for layer in reversed(self.layers):
            self._want_inputs(layer)
        self._allocate(network.input)
        quantizers = tuple(self._quantize(y) for y in self.buffers[network.input])
        steps = tuple(step for layer in self.layers for step in self._steps(layer))
        scale, offset = (part.astype(np.float64) for part in network.output_tensor.affine())
        (x,) = (b for b in self.buffers[network.output] if b.layout == self._plain(network.output))
        if scale.size not in {1, x.channels} or network.output_function:
            raise NoKernel("output", "its scales differ within channels")
        output = Output(
            x,
            *(
                self.constants.add(np.broadcast_to(part.reshape(-1), (x.channels,)))
                for part in (scale, offset)
            ),
        )
        buffers = tuple(b for many in self.buffers.values() for b in many)
        return Plan(quantizers, steps, output, buffers, self.size, self.constants.block())

    # What belongs together, and which codes tensors hold.

    def _layers(self) -> list[_Layer]:
        layers, taken = [], set()
        for node in self.network.nodes:
            if node.name in taken:
                continue
            following = self.readers[node.output]
            last = following[0] if len(following) == 1 else None
            fused = (
                last
                if isinstance(node, (Convolution, Linear))
                and isinstance(last, Threshold)
                and node.output != self.network.output
                else None
            )
            if fused is not None:
                taken.add(fused.name)
            layers.append(_Layer(node, fused, fused.output if fused else node.output))
        return layers

    def _lattices(self) -> dict[str, Lattice]:
        """Codes of every tensor that may be kept as levels."""
        quantizer = self.network.quantizer
        count = len(quantizer.boundaries) + 1
        lattices = {self.network.input: Lattice(quantizer.low, quantizer.step, count)}
        for node in self.network.nodes:
            if isinstance(node, Threshold):
                lattices[node.output] = lattice_of(node)
            elif isinstance(node, (MaxPool, Flatten)) and node.input in lattices:
                lattices[node.output] = lattices[node.input]
            else:
                values = self.network.tensors[node.output].range
                lattices[node.output] = Lattice(values.low, 1, values.high - values.low + 1)
        return {name: lattice for name, lattice in lattices.items() if lattice.count <= 256}

    def _plain(self, name: str) -> Layout:
        """The layout that elementwise steps read."""
        values = self.network.tensors[name].range
        if name in self.lattices and self._made_of_levels(name):
            return Levels(Packing(1, 8), self.lattices[name])
        return Words(values)

    def _made_of_levels(self, name: str) -> bool:
        maker = next((layer for layer in self.layers if layer.output == name), None)
        if maker is None or maker.threshold is not None or isinstance(maker.node, Threshold):
            return True
        return isinstance(maker.node, (MaxPool, Flatten)) and self._made_of_levels(maker.node.input)

    # Which layouts are wanted.

    def _want(self, name: str, layout: Layout) -> None:
        """One buffer for layouts that differ in their borders only."""
        if isinstance(layout, Levels) and not self._made_of_levels(name):
            raise NoKernel(name, "its values are no levels of a quantizer")
        for index, present in enumerate(self.wanted[name]):
            if isinstance(present, Words) or isinstance(layout, Words):
                if present == layout:
                    return
                continue
            same = (present.packing, present.lattice) == (layout.packing, layout.lattice)
            alone = NO_BORDER in (present.border, layout.border)
            if same and (alone or present.pad == layout.pad):
                pad = layout.pad if present.border == NO_BORDER else present.pad
                border = wider(present.border, layout.border)
                self.wanted[name][index] = replace(present, border=border, pad=pad)
                return
        self.wanted[name].append(layout)

    def _want_inputs(self, layer: _Layer) -> None:
        node = layer.node
        if isinstance(node, (Convolution, Linear)):
            choice = self._choice(node)
            self.choices[node.name] = choice
            self._want(self._source(node.input), choice.layout)
        elif isinstance(node, MaxPool):
            for layout in self.wanted[node.output]:
                if isinstance(layout, Words):
                    if any(node.pads):
                        raise NoKernel(node.name, "padded maxima of wide integers")
                    self._want(node.input, replace(layout, range=self._range(node.input)))
                else:
                    self._want(node.input, replace(layout, border=node.pads, pad=(0, 0)))
        elif not (isinstance(node, Flatten) and self._source(node.output) != node.output):
            raise NoKernel(node.name, f"no kernel for {node.kind}")

    def _range(self, name: str) -> ValueRange:
        return self.network.tensors[name].range

    def _source(self, name: str) -> str:
        """The tensor before a Flatten that only fully connected layers read, else the tensor."""
        for node in self.network.nodes:
            only_linear = all(isinstance(reader, Linear) for reader in self.readers[name])
            if node.output == name and isinstance(node, Flatten) and only_linear:
                return node.input
        return name

    def _choice(self, node: Convolution | Linear) -> Choice:
        name = self._source(node.input)
        if name not in self.lattices:
            raise NoKernel(node.name, "its inputs are wider than 8 bits")
        convolution = self._convolution(node)
        choice = choose(convolution, self.lattices[name], self._shape(name)[0])
        if choice is None:
            raise NoKernel(node.name, "inputs and padding together are wider than 8 bits")
        return choice

    def _convolution(self, node: Convolution | Linear) -> Convolution:
        if isinstance(node, Convolution):
            return node
        weights = with_unit_kernel(node.weights, self._shape(self._source(node.input)))
        if weights is None:
            raise NoKernel(node.name, "groups of columns with scales behind Flatten")
        return Convolution(name=node.name, input=node.input, output=node.output, weights=weights)

    # Buffers and steps.

    def _shape(self, name: str) -> tuple[int, int, int]:
        """Channels, height, width."""
        shape = self.network.tensors[name].shape
        if len(shape) not in {1, 3}:
            raise NoKernel(name, f"a tensor of {len(shape)} axes")
        channels, height, width = shape if len(shape) == 3 else (*shape, 1, 1)
        return channels, height, width

    def _allocate(self, name: str) -> tuple[Buffer, ...]:
        for layout in self.wanted[name]:
            buffer = Buffer(*self._shape(name), layout, self.size)
            self.size += -(-buffer.bytes // ALIGNMENT) * ALIGNMENT
            self.buffers[name].append(buffer)
        return tuple(self.buffers[name])

    def _buffer(self, name: str, layout: Layout) -> Buffer:
        """The buffer of `name` that serves a reader of `layout`."""
        for buffer in self.buffers[name]:
            present = buffer.layout
            if isinstance(present, Levels) and isinstance(layout, Levels):
                wide = all(a >= b for a, b in zip(present.border, layout.border, strict=True))
                pads = layout.border == NO_BORDER or present.pad == layout.pad
                same = (present.packing, present.lattice) == (layout.packing, layout.lattice)
                if same and wide and pads:
                    return buffer
            elif present == layout:
                return buffer
        raise AssertionError(f"no buffer of {name} for {layout}")

    def _quantize(self, y: Buffer) -> Quantize:
        quantizer, layout = self.network.quantizer, y.layout
        assert isinstance(layout, Levels)
        first = layout.lattice.level(quantizer.low)
        height = quantizer.step // layout.lattice.step
        return quantize(quantizer.boundaries, y, first, height, self.constants)

    def _steps(self, layer: _Layer) -> list[Step]:
        node = layer.node
        if isinstance(node, MaxPool):
            return [self._pool(node, y) for y in self._allocate(layer.output)]
        if not isinstance(node, (Convolution, Linear)):
            return []
        convolution, choice = self._convolution(node), self.choices[node.name]
        x = self._buffer(self._source(node.input), choice.layout)
        planned: list[Step] = []
        for y in self._allocate(layer.output):
            steps, sums = self._level_steps(layer, y), self._range(node.output)
            for group in range(convolution.groups):
                matrix = self.matrices.plan(convolution, group, choice, x, y, sums, steps)
                if matrix is None:
                    raise NoKernel(node.name, "its sums do not fit 32 bits")
                planned.append(matrix)
        return planned

    @staticmethod
    def _level_steps(layer: _Layer, y: Buffer) -> LevelSteps | None:
        if layer.threshold is None:
            return None
        assert isinstance(y.layout, Levels)
        return level_steps(layer.threshold, y.layout.lattice, y.channels)

    def _pool(self, node: MaxPool, y: Buffer) -> MaximumPool:
        wanted = y.layout
        if isinstance(wanted, Levels):
            wanted = replace(wanted, border=node.pads, pad=(0, 0))
        else:
            wanted = replace(wanted, range=self._range(node.input))
        return MaximumPool(
            node.name,
            self._buffer(node.input, wanted),
            y,
            node.kernel,
            node.strides,
            node.dilations,
            (-node.pads[0], -node.pads[1]),
        )
