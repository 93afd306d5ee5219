# SPDX-License-Identifier: Apache-2.0
"""The constants of channelwise steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdeploy.cpu.kernels.targets import Target
from qdeploy.cpu.program.channelwise import Channelwise, Term, lanes_for, sums_of
from qdeploy.cpu.program.constants import Constants
from qdeploy.cpu.program.finishing import SHORTS, fits, plan_finish
from qdeploy.cpu.program.layouts import Buffer, Levels
from qdeploy.cpu.program.level_steps import LevelSteps
from qdeploy.integer import (
    Add,
    Convolution,
    Integers,
    Node,
    Pad,
    Slice,
    SumPool,
    Upsample,
    ValueRange,
)


@dataclass(frozen=True, eq=False)
class ChannelwisePlanner:
    """Plans the steps of a network for one target.

    Attributes:
        constants: where their constants go.
        target: the processor.
    """

    constants: Constants
    target: Target

    def plan(
        self,
        node: Node,
        inputs: list[Buffer],
        y: Buffer,
        values: ValueRange,
        steps: LevelSteps | None,
    ) -> Channelwise | None:
        """The step of any node that is one sum; None if its values do not fit int32."""
        x = inputs[0]
        terms = [(Term(x), _row(1))]
        if isinstance(node, Add):
            terms = [(Term(b), _row(m)) for b, m in zip(inputs, node.multipliers, strict=True)]
        elif isinstance(node, SumPool):
            origin = (-node.pads[0], -node.pads[1])
            term = Term(x, origin=origin, strides=node.strides, kernel=node.kernel)
            terms = [(term, _row(1))]
        elif isinstance(node, Convolution):
            terms = [_depthwise(node, x)]
        elif isinstance(node, Pad):
            terms = [(Term(x, origin=(-node.pads[0], -node.pads[1])), _row(1))]
        elif isinstance(node, Upsample):
            terms = [(Term(x, repeats=node.factors), _row(1))]
        elif isinstance(node, Slice):
            channel, row, column = node.starts
            term = Term(x, channel, (row, column), (node.steps[1], node.steps[2]))
            terms = [(term, _row(1))]
        return self.sum(node.output, node.name, terms, y, 0, y.channels, values, steps)

    def copy(
        self, layer: str, x: Buffer, y: Buffer, channel: int, values: ValueRange
    ) -> Channelwise | None:
        """The step that writes `x` to the channels of `y` from `channel` on, in its layout."""
        name = f"{x.offset}_{y.offset}_{channel}"
        return self.sum(name, layer, [(Term(x), _row(1))], y, channel, x.channels, values, None)

    def sum(
        self,
        name: str,
        layer: str,
        terms: list[tuple[Term, Integers]],
        y: Buffer,
        channel: int,
        channels: int,
        values: ValueRange,
        steps: LevelSteps | None,
    ) -> Channelwise | None:
        """The step for terms with factors [positions or 1, C or 1] of the integers.

        Sums are in units of the levels of `y`, if these are not made by thresholds.
        """
        low, unit = 0, 1
        if steps is None and isinstance(y.layout, Levels):
            low, unit = y.layout.lattice.low, y.layout.lattice.step
        shift, reached, planned = np.zeros(channels, np.int64), 0, []
        for term, factors in terms:
            layout, positions = term.x.layout, term.kernel[0] * term.kernel[1] // len(factors)
            if isinstance(layout, Levels):
                shift += layout.lattice.low * positions * factors.sum(axis=0)
                scaled = factors * layout.lattice.spacing
                most = int(np.abs(scaled).sum(axis=0).max()) * positions
                reached += most * (layout.lattice.count - 1)
            else:
                scaled, reached = factors, 1 << 31
            assert not (scaled % unit).any()
            planned.append((term, scaled // unit))
        assert not ((shift - low) % unit).any()
        lanes = lanes_for(channels, self.target)
        sums, short = sums_of(lanes), reached // unit <= SHORTS.high
        if not fits(sums, shift, values):
            return None
        finish = plan_finish(self.constants, sums, (shift - low) // unit, steps)
        ready = tuple(self._with(term, factors, lanes, short) for term, factors in planned)
        return Channelwise(name, layer, ready, y, channel, channels, lanes, short, finish)

    def _with(self, term: Term, factors: Integers, lanes: int, short: bool) -> Term:
        """The term with its factors: a number, or a table among the constants."""
        if factors.size == 1:
            return replace(term, factors=int(factors.item()))
        table = np.pad(factors, ((0, 0), (0, -factors.shape[1] % lanes)))
        place = self.constants.add(table.astype(np.int16 if short else np.int32))
        return replace(term, factors=place, tabled=True)


def _row(factor: int) -> Integers:
    """One factor for all positions and channels."""
    return np.array([[factor]])


def _depthwise(node: Convolution, x: Buffer) -> tuple[Term, Integers]:
    weights = node.weights.integers()
    kernel = (weights.shape[2], weights.shape[3])
    term = Term(
        x,
        origin=(-node.pads[0], -node.pads[1]),
        strides=node.strides,
        kernel=kernel,
        dilations=node.dilations,
    )
    return term, weights.reshape(len(weights), -1).T
