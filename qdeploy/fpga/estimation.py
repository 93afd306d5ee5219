# SPDX-License-Identifier: Apache-2.0
"""Resources of a generated design: Yosys' count beside FINN's formulas and the board."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from qdeploy.fpga.board import Board, Resources
from qdeploy.fpga.design import Design, load_design
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.sites import occupied_sites
from qdeploy.fpga.yosys import run_yosys, yosys_version

NETLIST = "netlist.json"
# LUTs that the memories of a SLICEM take (UG474, chapter 2).
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


class NodeEstimate(BaseModel):
    """One hardware node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layer: str
    usage: Usage


class Estimate(BaseModel):
    """A design against its board.

    Attributes:
        tool: version of Yosys.
        total: the whole design.
        nodes: its hardware nodes, in the order of the data.
        predicted: what the resource model expects of the nodes.
        finn_lut, finn_bram36, finn_dsp: sums of FINN's formulas for its own implementation.
        available: what the board's part has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    total: Usage
    nodes: tuple[NodeEstimate, ...]
    predicted: Cost
    finn_lut: int
    finn_bram36: float
    finn_dsp: int
    available: Resources

    def by_layer(self) -> dict[str, Usage]:
        """Usage of each layer: all nodes that belong to it."""
        layers: dict[str, Usage] = {}
        for node in self.nodes:
            layers[node.layer] = layers.get(node.layer, Usage()) + node.usage
        return layers


def estimate(design_directory: Path, board: Board) -> Estimate:
    """Synthesize the design with Yosys for the board's family, node by node, and count.

    Nothing is placed or routed: clock rate and routability are not known.

    Raises:
        ToolError: if Yosys is missing or fails.
        UserError: if the directory is no design.
    """
    design = load_design(design_directory)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for name in (*design.files, *design.memories):
            shutil.copyfile(design_directory / name, directory / name)
        run_yosys(_script(design, board), directory)
        modules = json.loads((directory / NETLIST).read_text())["modules"]
    nodes = tuple(
        NodeEstimate(name=node.name, layer=node.layer, usage=usage(modules[node.module]))
        for node in design.nodes
    )
    return Estimate(
        tool=yosys_version(),
        total=sum((node.usage for node in nodes), usage(modules[design.top])),
        nodes=nodes,
        predicted=reduce(Cost.plus, (node.predicted for node in design.nodes), Cost()),
        finn_lut=sum(node.finn_luts for node in design.nodes),
        finn_bram36=sum(node.finn_bram18 for node in design.nodes) / 2,
        finn_dsp=sum(node.finn_dsps for node in design.nodes),
        available=board.resources,
    )


def _script(design: Design, board: Board) -> str:
    """Nodes stay modules of their own (FIFOs part them anyway), everything in them is flattened."""
    modules = " ".join(node.module for node in design.nodes)
    return "; ".join(
        (
            f"read_verilog -defer {' '.join(design.files)}",
            "read_verilog -lib +/xilinx/cells_sim.v",
            f"hierarchy -check -top {design.top}",
            f"setattr -mod -set keep_hierarchy 1 {modules}",
            f"synth_xilinx -family {board.family} -flatten -noiopad -noclkbuf -top {design.top}",
            f"write_json {NETLIST}",
        )
    )


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
        bram36=kinds["RAMB36E1"] + kinds["RAMB18E1"] / 2,
        dsp=kinds["DSP48E1"],
    )
