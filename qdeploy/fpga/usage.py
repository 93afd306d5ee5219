# SPDX-License-Identifier: Apache-2.0
"""What a mapped netlist (7 series or UltraScale+) takes of the board's resources."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict

from qdeploy.fpga.sites import occupied_sites

# LUTs that the memories of a SLICEM take (UG474 and UG574, chapter 2).
_LUTS_OF_MEMORY = {
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X16DR8": 8,
    "RAM64X8SW": 8,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}


class Usage(BaseModel):
    """What a piece of the design takes.

    Attributes:
        lut: LUT sites, logic packed as `qdeploy.fpga.sites` does, and memory.
        lut_cells: the same unpacked, as Yosys counts.
        lut_memory: LUTs used as memory (part of both).
        ff: flip-flops.
        bram36: 36 kbit block RAMs; one of 18 kbit is a half.
        dsp: DSP slices.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lut: int = 0
    lut_cells: int = 0
    lut_memory: int = 0
    ff: int = 0
    bram36: float = 0
    dsp: int = 0

    def __add__(self, other: Usage) -> Usage:
        sums = {k: getattr(self, k) + getattr(other, k) for k in type(self).model_fields}
        return Usage.model_validate(sums)


def usage(module: dict[str, Any]) -> Usage:
    """Cells of a module in Yosys' JSON format, without those of modules in it."""
    cells = module["cells"].values()
    kinds = Counter(cell["type"] for cell in cells)
    memory = sum(_LUTS_OF_MEMORY.get(kind, 0) * count for kind, count in kinds.items())
    logic = sum(n for kind, n in kinds.items() if kind.startswith("LUT") or kind == "INV")
    return Usage(
        lut=occupied_sites(cells) + memory,
        lut_cells=logic + memory,
        lut_memory=memory,
        ff=sum(n for kind, n in kinds.items() if kind.startswith("FD")),
        bram36=sum(kinds[f"RAMB36E{n}"] + kinds[f"RAMB18E{n}"] / 2 for n in (1, 2)),
        dsp=kinds["DSP48E1"] + kinds["DSP48E2"],
    )
