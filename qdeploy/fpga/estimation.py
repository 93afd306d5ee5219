# SPDX-License-Identifier: Apache-2.0
"""Resources of a generated design: Yosys' count beside FINN's formulas and the board."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qdeploy.fpga.board import Board, Resources
from qdeploy.fpga.design import load_design
from qdeploy.fpga.resources import Cost
from qdeploy.fpga.synthesis import node_usages
from qdeploy.fpga.usage import Usage
from qdeploy.fpga.yosys import yosys_version


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

    The top module only connects the nodes and takes nothing. Nothing is placed or routed: clock
    rate and routability are not known.

    Raises:
        ToolError: if Yosys is missing or fails.
        UserError: if the directory is no design.
    """
    design = load_design(design_directory)
    usages = node_usages(design, design_directory, board.family)
    nodes = tuple(
        NodeEstimate(name=node.name, layer=node.layer, usage=usages[node.name])
        for node in design.nodes
    )
    return Estimate(
        tool=yosys_version(),
        total=sum((node.usage for node in nodes), Usage()),
        nodes=nodes,
        predicted=reduce(Cost.plus, (node.predicted for node in design.nodes), Cost()),
        finn_lut=sum(node.finn_luts for node in design.nodes),
        finn_bram36=sum(node.finn_bram18 for node in design.nodes) / 2,
        finn_dsp=sum(node.finn_dsps for node in design.nodes),
        available=board.resources,
    )
