# SPDX-License-Identifier: Apache-2.0
"""A simulation that looks into a generated design.

The design stays as it is. A module around it, only for this simulation, leads signals out of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qdeploy.fpga.design import Design, load_design
from qdeploy.simulation.verilator import build_model

_MODULE = """\
module {top}_watched (
    input ap_clk,
    input ap_rst_n,
    input [{input_bits}-1:0] in0_V_TDATA,
    input in0_V_TVALID,
    output in0_V_TREADY,
    output [{output_bits}-1:0] out0_V_TDATA,
    output out0_V_TVALID,
    input out0_V_TREADY{ports}
);
  {top} watched (
      .ap_clk(ap_clk),
      .ap_rst_n(ap_rst_n),
      .in0_V_TDATA(in0_V_TDATA),
      .in0_V_TVALID(in0_V_TVALID),
      .in0_V_TREADY(in0_V_TREADY),
      .out0_V_TDATA(out0_V_TDATA),
      .out0_V_TVALID(out0_V_TVALID),
      .out0_V_TREADY(out0_V_TREADY),
      .streams_valid(),
      .streams_ready()
  );
{assignments}endmodule
"""
_PORTS = """,
    output [{signal.width}-1:0] tap_{index}_data,
    output tap_{index}_moves"""
_ASSIGNMENT = """\
{signal.declarations}\
  assign tap_{index}_data = {signal.data};
  assign tap_{index}_moves = {signal.moves};
"""


@dataclass(frozen=True)
class Signal:
    """What a simulation records: a tap of `StreamSimulator`.

    Attributes:
        width: bits of `data`.
        data: Verilog expression; the design is the instance `watched`.
        moves: Verilog expression, 1 in a cycle in which `data` is recorded.
        declarations: Verilog of what they refer to, beside the design.
    """

    width: int
    data: str
    moves: str
    declarations: str = ""


def build_watched(
    design_directory: Path, signals: Sequence[Signal], directory: Path, *, trace: bool = False
) -> Path:
    """Compile a design of `generate` with a tap for every signal.

    Args:
        design_directory: what `generate` wrote.
        signals: of the design.
        directory: where the result goes.
        trace: see `build_model`.

    Raises:
        ToolError: if Verilator or the C++ compiler is missing or fails.
    """
    design = load_design(design_directory)
    with tempfile.TemporaryDirectory() as folder:
        around = Path(folder) / f"{design.top}_watched.v"
        around.write_text(_module(design, signals))
        sources = [*(design_directory / name for name in design.files), around]
        names = [f"tap_{index}" for index in range(len(signals))]
        return build_model(sources, around.stem, directory, taps=names, trace=trace)


def _module(design: Design, signals: Sequence[Signal]) -> str:
    def each(template: str) -> str:
        return "".join(
            template.format(index=index, signal=signal) for index, signal in enumerate(signals)
        )

    return _MODULE.format(
        top=design.top,
        input_bits=design.input.width,
        output_bits=design.output.width,
        ports=each(_PORTS),
        assignments=each(_ASSIGNMENT),
    )
