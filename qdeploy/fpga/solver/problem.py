# SPDX-License-Identifier: Apache-2.0
"""What the solver chooses from: a graph of stages, each with its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, reduce
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.fpga.resources import Cost, cost

# Cycles that a word spends in the FIFO behind a stage, in its output register and in a converter.
LINK_DELAY = 3
# The solver counts in integers: quarters of LUTs and flip-flops, halves of block RAMs.
UNITS = Cost(4, 4, 2, 1)
# Prices, in LUTs: of what is to take few LUTs, whatever else it takes.
LUTS = Cost(lut=1)
# Placement and routing get by with so much of a board's LUTs and flip-flops, and with all of its
# block RAMs and DSP slices.
_ROUTABLE = 0.8

Times = int | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Option:
    """One way to build a stage.

    Attributes:
        cycles: per frame.
        cost: of the stage and the FIFOs in front of it.
        input_bits: of a word it takes, for each of its inputs.
        output_bits: of a word it delivers.
        tail: cycles from the last word of a frame it takes to the last that it delivers.
        values: attributes of the node.
    """

    cycles: int
    cost: Cost
    input_bits: tuple[int, ...]
    output_bits: int
    tail: int = 0
    values: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A hardware node.

    Attributes:
        name: for people.
        options: at least one.
        lead: share of a frame that must have arrived before the first word leaves, in 1/1024.
    """

    name: str
    options: tuple[Option, ...]
    lead: int = 0


@dataclass(frozen=True)
class Link:
    """A stream from one stage to another.

    Attributes:
        writer, reader: indices of the stages.
        port: which input of the reader.
        tied: both must have words of one width; else a converter may stand between.
    """

    writer: int
    reader: int
    port: int = 0
    tied: bool = False


@dataclass(frozen=True)
class Problem:
    """A network: stages in the order of the data."""

    stages: Sequence[Stage]
    links: Sequence[Link]

    def cost(self, choice: Sequence[Option]) -> Cost:
        """Of the stages with these options and the converters between them."""
        total = Cost()
        for option in choice:
            total = total.plus(option.cost)
        for link in self.links:
            written, read = choice[link.writer].output_bits, choice[link.reader].input_bits
            total = total.plus(converter_cost(written, read[link.port]))
        return total

    def latency(self, choice: Sequence[Option]) -> int:
        """Cycles from the first word of a frame to the last of its result, in an empty pipeline.

        The words of a stage are taken to leave evenly between its first and its last one.
        """
        _, last = self.times([o.cycles for o in choice], [o.tail for o in choice])
        return int(last[-1])

    def times(self, cycles: Sequence[Times], tails: Sequence[Times]) -> tuple[list[Any], list[Any]]:
        """When the first and the last word of a frame leaves each stage; see `latency`.

        Args:
            cycles: of each stage, a number or an array of alternatives.
            tails: of each stage, likewise.
        """
        first: list[Any] = []
        last: list[Any] = []
        for reader, stage in enumerate(self.stages):
            writers = [link.writer for link in self.links if link.reader == reader]
            arrived = [
                first[w] - (stage.lead * (first[w] - last[w]) // 1024) + LINK_DELAY for w in writers
            ]
            first.append(reduce(np.maximum, arrived or [-(-stage.lead * cycles[reader] // 1024)]))
            # What was read before the first word left counts as done.
            own = first[reader] + cycles[reader] - cycles[reader] * stage.lead // 1024
            ends = [last[w] + tails[reader] + LINK_DELAY for w in writers]
            last.append(reduce(np.maximum, ends, own))
        return first, last


def board_prices(resources: Cost) -> Cost:
    """Prices, in LUTs, by which the same share of what can be used of a board costs the same."""
    lut, ff = _ROUTABLE * resources.lut, _ROUTABLE * resources.ff
    return Cost(1, lut / ff, lut / resources.bram36, lut / resources.dsp)


def price(cost: Cost, prices: Cost) -> float:
    """Of a cost, in LUTs."""
    return sum(amount * each for amount, each in zip(cost, prices, strict=True))


def counted(cost: Cost) -> tuple[int, ...]:
    """A cost in the integers of the solver."""
    return tuple(round(amount * unit) for amount, unit in zip(cost, UNITS, strict=True))


@cache
def converter_cost(output_bits: int, input_bits: int) -> Cost:
    """Of the width converters between two words, none if they are equal, two if neither divides."""
    common = lcm(output_bits, input_bits)
    total = Cost()
    for one, other in ((output_bits, common), (common, input_bits)):
        if one != other:
            total = total.plus(cost("width_converter", {"IN_WIDTH": one, "OUT_WIDTH": other}))
    return total


def fifo_cost(width: int, depth: int = 2) -> Cost:
    """Of a FIFO."""
    return cost("fifo", {"WIDTH": width, "DEPTH": depth})
