# SPDX-License-Identifier: Apache-2.0
"""The memories of a binary search for thresholds: one per step and lane (hw/rtl/row_output.v)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from qdeploy.fpga.memory import address_bits, memory_module, memory_words
from qdeploy.integer import Integers


@dataclass(frozen=True, eq=False)
class ThresholdMemory:
    """The slots that row_output.v asks for, as one module.

    A lane whose words all have the same thresholds keeps them once.

    Attributes:
        rows: thresholds int64 [MH, T], ascending, each in [0, 2^bits).
        lanes: rows that are compared at the same time.
        bits: of a threshold.
    """

    rows: Integers
    lanes: int
    bits: int

    @property
    def stages(self) -> int:
        """Steps of the search: bits of the count."""
        return int(self.rows.shape[1]).bit_length()

    @property
    def address_bits(self) -> int:
        """Bits of all slots' addresses."""
        return self.lanes * self.stages * self._slot_bits

    @property
    def width(self) -> int:
        """Bits of all slots' thresholds."""
        return self.lanes * self.stages * self.bits

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Bits of a word and words of every memory."""
        words = (self._words(lane) for lane in range(self.lanes))
        return [(self.bits, count << stage) for count in words for stage in range(self.stages)]

    def write(self, directory: Path, name: str) -> None:
        """Write module `name` (`clk`, `enable`, `address`, `data`) and its memories' contents."""
        modules, instances = [], []
        for lane in range(self.lanes):
            of_lane = self._filled[lane :: self.lanes][: self._words(lane)]
            for stage in range(self.stages):
                width = 1 << (self.stages - 1 - stage)
                contents = of_lane[:, width - 1 :: 2 * width].reshape(-1, 1)
                memory, index = f"{name}_{lane}_{stage}", lane * self.stages + stage
                words = memory_words(contents, self.bits)
                modules.append(memory_module(directory, memory, words, self.bits))
                place = f"address[{index * self._slot_bits}+:{address_bits(len(words))}]"
                if len(words) == 1:
                    place = "1'b0"
                instances.append(
                    f"  {memory} lane_{lane}_{stage} (.clk(clk), .enable(enable), "
                    f".address({place}), "
                    f".data(data[{index * self.bits}+:{self.bits}]));"
                )
        top = (
            f"module {name} (input clk, input enable, input [{self.address_bits - 1}:0] address, "
            f"output [{self.width - 1}:0] data);\n{chr(10).join(instances)}\nendmodule\n"
        )
        (directory / f"{name}.v").write_text("".join([*modules, top]))

    @property
    def _slot_bits(self) -> int:
        return address_bits(len(self.rows) // self.lanes) + self.stages

    @cached_property
    def _filled(self) -> Integers:
        """Rows with as many thresholds as a count can reach; what is added is never reached."""
        height, count = self.rows.shape
        filled = np.full((height, (1 << self.stages) - 1), (1 << self.bits) - 1)
        filled[:, :count] = self.rows
        return filled

    def _words(self, lane: int) -> int:
        of_lane = self.rows[lane :: self.lanes]
        return 1 if (of_lane == of_lane[0]).all() else len(of_lane)
