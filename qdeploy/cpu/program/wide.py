# SPDX-License-Identifier: Apache-2.0
"""Convolutions of integers that are no bytes: products of 32 bits, modulo 2^32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from qdeploy.cpu.kernels.code import LONG, POINTER, WORD, Code, Value, everywhere, vector
from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.channelwise import lanes_for, sums_of
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.finishing import Finish, emit_finish, fits, plan_finish
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.level_steps import LevelSteps
from qdeploy.integer import Convolution, Integers, ValueRange

_WORK = 8  # of a product, in those of bytes


@dataclass(frozen=True, eq=False)
class WideProducts:
    """One group of channels of a convolution.

    Attributes:
        node: the layer.
        x: int32, with the padding around it.
        y: what is written.
        inputs, outputs: first channels of the group in `x` and `y`.
        count: of outputs.
        weights: offset of int32 [tiles, KH, KW, C, lanes].
        lanes: outputs at once.
        finish: what becomes of the sums.
    """

    node: Convolution
    x: Buffer
    y: Buffer
    inputs: int
    outputs: int
    count: int
    weights: int
    lanes: int
    finish: Finish

    @property
    def layer(self) -> str:
        """Name in the network."""
        return self.node.name

    @property
    def description(self) -> str:
        """What computes it and why, for people."""
        return f"products of 32 bits (inputs wider than 8 bits), {self.lanes} outputs at once"

    @property
    def units(self) -> int:
        """Rows of the output."""
        return self.y.height

    @property
    def work(self) -> int:
        """In products of bytes."""
        each = int(np.prod(self.node.weights.shape[1:]))
        return _WORK * self.y.height * self.y.width * self.count * each

    def emit(self, module: ir.Module, target: Target, image_bytes: int) -> ir.Function:
        """products(constants, arena, images, first row, end of rows)."""
        name = f"wide_{self.layer}_{self.outputs}"
        code = Code(module, name, [POINTER, POINTER, LONG, LONG, LONG])
        constants, arena, images, first, end = code.arguments
        node, x, y = self.node, self.x, self.y
        sums = code.memory(4 * self.lanes, align=64)
        whole, rest = divmod(self.count, self.lanes)
        with code.loop(images) as image, code.loop(end, first) as row:
            base = code.at(arena, code.scaled(image, image_bytes))
            with code.loop(y.width) as column:
                window = code.at(base, x.at(-node.pads[0], -node.pads[1]) + 4 * self.inputs)
                window = code.at(window, code.scaled(row, node.strides[0] * x.row_bytes))
                window = code.at(window, code.scaled(column, node.strides[1] * x.pixel_bytes))
                pixel = code.at(base, code.scaled(row, y.row_bytes, y.at()))
                pixel = code.at(pixel, code.scaled(column, y.pixel_bytes))
                with code.loop(whole) as tile:
                    self._tile(code, constants, window, pixel, sums, tile, self.lanes)
                if rest:
                    tile = code.long(whole)
                    self._tile(code, constants, window, pixel, sums, tile, rest)
        code.end()
        return code.function

    def _tile(
        self,
        code: Code,
        constants: Value,
        window: Value,
        pixel: Value,
        sums: Value,
        tile: Value,
        outputs: int,
    ) -> None:
        build, node, x, lanes = code.build, self.node, self.x, self.lanes
        _, channels, rows, columns = node.weights.shape
        kind = vector(WORD, lanes)
        total = code.variable(kind, ir.Constant(kind, None))
        size = 4 * lanes
        weights = code.scaled(tile, rows * columns * channels * size, self.weights)
        weights = code.at(constants, weights)
        with code.loop(rows) as row, code.loop(columns) as column:
            source = code.at(window, code.scaled(row, node.dilations[0] * x.row_bytes))
            source = code.at(source, code.scaled(column, node.dilations[1] * x.pixel_bytes))
            place = code.scaled(code.scaled(row, columns, column), channels * size)
            factors = code.at(weights, place)
            with code.loop(channels) as channel:
                value = everywhere(code, code.load(WORD, source, code.scaled(channel, 4)), lanes)
                factor = code.load(kind, factors, code.scaled(channel, size))
                total.set(build.add(total.get(), build.mul(value, factor)))
        code.store(total.get(), sums)
        emit_finish(
            code,
            self.finish,
            sums_of(lanes),
            self.y,
            values=sums,
            constants=constants,
            pixel=pixel,
            stride=0,
            rows=1,
            channel=self.outputs,
            tile=tile,
            outputs=outputs,
        )


def wide_products(
    node: Convolution,
    group: int,
    x: Buffer,
    y: Buffer,
    values: ValueRange,
    steps: LevelSteps | None,
    constants: Constants,
    target: Target,
) -> WideProducts | None:
    """The step of one group of channels; None if its sums do not fit int32.

    Args:
        node: the layer.
        group: of its channels.
        x: what is read.
        y: what is written.
        values: range of the layer's sums.
        steps: what becomes of the sums, None where they are written as they are.
        constants: where its constants go.
        target: the processor.
    """
    count, channels = node.weights.shape[0] // node.groups, node.weights.shape[1]
    rows = slice(group * count, (group + 1) * count)
    lanes = lanes_for(count, target)
    shift: Integers = np.zeros(count, np.int64)
    if not fits(sums_of(lanes), shift, values):
        return None
    if steps is not None:
        steps = steps.of(rows)
    elif isinstance(y.layout, Levels):
        assert y.layout.lattice.step == 1
        shift = shift - y.layout.lattice.low
    weights = node.weights.integers()[rows].transpose(2, 3, 1, 0)
    weights = np.pad(weights, ((0, 0), (0, 0), (0, 0), (0, -count % lanes)))
    tiles = weights.reshape(*weights.shape[:3], -1, lanes).transpose(3, 0, 1, 2, 4)
    return WideProducts(
        node=node,
        x=x,
        y=y,
        inputs=group * channels,
        outputs=group * count,
        count=count,
        weights=constants.add(tiles.astype(np.int32)),
        lanes=lanes,
        finish=plan_finish(constants, sums_of(lanes), shift, steps),
    )
