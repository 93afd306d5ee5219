# SPDX-License-Identifier: Apache-2.0
"""The threshold memories of a matrix-vector unit: a binary search, one memory per step and lane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdeploy.fpga.memory import address_bits, memory_module, memory_words
from qdeploy.integer import Integers


def write_thresholds(directory: Path, name: str, rows: Integers, lanes: int, bits: int) -> None:
    """Write module `name` with the slots that hw/rtl/row_output.v asks for.

    Args:
        directory: where the module goes, with the contents of its memories.
        name: of the module.
        rows: thresholds int64 [MH, T], ascending, each in [0, 2^bits).
        lanes: rows that are compared at the same time.
        bits: of a threshold.
    """
    height, count = rows.shape
    stages, words = count.bit_length(), height // lanes
    padded = np.full((height, (1 << stages) - 1), rows.max())
    padded[:, :count] = rows
    padded[:, count:] = (1 << bits) - 1
    slot = address_bits(words) + stages
    modules, instances = [], []
    for lane in range(lanes):
        of_lane = padded[lane::lanes]
        for stage in range(stages):
            width = 1 << (stages - 1 - stage)
            contents = of_lane[:, width - 1 :: 2 * width].reshape(-1, 1)
            memory, index = f"{name}_{lane}_{stage}", lane * stages + stage
            modules.append(memory_module(directory, memory, memory_words(contents, bits), bits))
            instances.append(
                f"  {memory} lane_{lane}_{stage} (.clk(clk), .enable(enable), .address(address["
                f"{index * slot}+:{address_bits(len(contents))}]), "
                f".data(data[{index * bits}+:{bits}]));"
            )
    slots = lanes * stages
    top = (
        f"module {name} (input clk, input enable, input [{slots * slot - 1}:0] address, "
        f"output [{slots * bits - 1}:0] data);\n{chr(10).join(instances)}\nendmodule\n"
    )
    (directory / f"{name}.v").write_text("".join([*modules, top]))
