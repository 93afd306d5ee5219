# SPDX-License-Identifier: Apache-2.0
"""The module around an accelerator that a processor talks to: registers, streams of 64-bit beats.

Frames lie in memory as `qdeploy.board.streams` says. The head of `hw/rtl/register_file.v` lists the
registers.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qdeploy.board.streams import BEAT_BYTES, frame_bytes, word_bytes
from qdeploy.errors import UserError
from qdeploy.files import content_hash
from qdeploy.fpga.board import hardware_directory
from qdeploy.fpga.design import FILE_NAME as DESIGN_FILE
from qdeploy.fpga.design import Design, Stream, load_design

FILE_NAME = "shell.json"
_OPERATORS = ("register_file.v", "frame_input.v", "frame_output.v")

_SHELL = """\
// SPDX-License-Identifier: Apache-2.0
// Registers and DMA streams around {top}.
module {top}_shell (
    input aclk,
    input aresetn,
    input [15:0] s_axi_awaddr,
    input [2:0] s_axi_awprot,
    input s_axi_awvalid,
    output s_axi_awready,
    input [31:0] s_axi_wdata,
    input [3:0] s_axi_wstrb,
    input s_axi_wvalid,
    output s_axi_wready,
    output [1:0] s_axi_bresp,
    output s_axi_bvalid,
    input s_axi_bready,
    input [15:0] s_axi_araddr,
    input [2:0] s_axi_arprot,
    input s_axi_arvalid,
    output s_axi_arready,
    output [31:0] s_axi_rdata,
    output [1:0] s_axi_rresp,
    output s_axi_rvalid,
    input s_axi_rready,
    input [63:0] s_axis_tdata,
    input [7:0] s_axis_tkeep,
    input s_axis_tlast,
    input s_axis_tvalid,
    output s_axis_tready,
    output [63:0] m_axis_tdata,
    output [7:0] m_axis_tkeep,
    output m_axis_tlast,
    output m_axis_tvalid,
    input m_axis_tready
);
  wire reset_n, new_packet, frame_open, frame_taken, frame_given;
  wire [31:0] frames_per_packet;
  wire [{streams}-1:0] valid, ready;
  wire [{input.width}-1:0] input_tdata;
  wire input_tvalid, input_tready;
  wire [{output.width}-1:0] output_tdata;
  wire output_tvalid, output_tready;
  assign m_axis_tkeep = 8'hff;

  register_file #(
      .BUILD(256'h{build}),
      .STREAMS({streams})
  ) registers (
      .clk(aclk),
      .rst_n(aresetn),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awvalid(s_axi_awvalid),
      .s_axi_awready(s_axi_awready),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid),
      .s_axi_wready(s_axi_wready),
      .s_axi_bresp(s_axi_bresp),
      .s_axi_bvalid(s_axi_bvalid),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arvalid(s_axi_arvalid),
      .s_axi_arready(s_axi_arready),
      .s_axi_rdata(s_axi_rdata),
      .s_axi_rresp(s_axi_rresp),
      .s_axi_rvalid(s_axi_rvalid),
      .s_axi_rready(s_axi_rready),
      .reset_n(reset_n),
      .frames_per_packet(frames_per_packet),
      .new_packet(new_packet),
      .frame_open(frame_open),
      .frame_taken(frame_taken),
      .frame_given(frame_given),
      .valid(valid),
      .ready(ready)
  );

  frame_input #(
      .WIDTH({input.width}),
      .WORD_BYTES({input_layout.word_bytes}),
      .WORDS({input.words_per_frame})
  ) words (
      .clk(aclk),
      .rst_n(reset_n),
      .s_tdata(s_axis_tdata),
      .s_tvalid(s_axis_tvalid),
      .s_tready(s_axis_tready),
      .m_tdata(input_tdata),
      .m_tvalid(input_tvalid),
      .m_tready(input_tready),
      .frame_open(frame_open),
      .frame_taken(frame_taken)
  );

  {top} accelerator (
      .ap_clk(aclk),
      .ap_rst_n(reset_n),
      .in0_V_TDATA(input_tdata),
      .in0_V_TVALID(input_tvalid),
      .in0_V_TREADY(input_tready),
      .out0_V_TDATA(output_tdata),
      .out0_V_TVALID(output_tvalid),
      .out0_V_TREADY(output_tready),
      .streams_valid(valid),
      .streams_ready(ready)
  );

  frame_output #(
      .WIDTH({output.width}),
      .WORD_BYTES({output_layout.word_bytes}),
      .WORDS({output.words_per_frame})
  ) beats (
      .clk(aclk),
      .rst_n(reset_n),
      .s_tdata(output_tdata),
      .s_tvalid(output_tvalid),
      .s_tready(output_tready),
      .m_tdata(m_axis_tdata),
      .m_tvalid(m_axis_tvalid),
      .m_tlast(m_axis_tlast),
      .m_tready(m_axis_tready),
      .frames_per_packet(frames_per_packet),
      .new_packet(new_packet),
      .frame_given(frame_given)
  );
endmodule
"""


class FrameLayout(BaseModel):
    """A frame of a stream in memory.

    Attributes:
        word_bytes: bytes of a word, a power of two.
        frame_bytes: bytes of a frame, whole beats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    word_bytes: int
    frame_bytes: int


class Shell(BaseModel):
    """A shell directory.

    Attributes:
        top: its top module, which instantiates that of the design.
        files: Verilog files in the directory, to be compiled in this order after the design's.
        build: SHA-256 of the files of design and shell, 64 hex digits; the registers hold it.
        beat_bytes: bytes of a beat of both streams.
        input: frames into s_axis.
        output: frames from m_axis.
        streams: who writes and who reads what the registers observe (see `Design`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: str
    files: tuple[str, ...]
    build: str = Field(pattern="^[0-9a-f]{64}$")
    beat_bytes: int
    input: FrameLayout
    output: FrameLayout
    streams: tuple[str, ...]


def frame_layout(stream: Stream) -> FrameLayout:
    """Where the words of a frame lie in memory."""
    return FrameLayout(
        word_bytes=word_bytes(stream.width),
        frame_bytes=frame_bytes(stream.words_per_frame, stream.width),
    )


def generate_shell(design_directory: Path, directory: Path) -> Shell:
    """Write the shell of a design of `generate` and shell.json.

    Args:
        design_directory: what `generate` wrote.
        directory: where the files go; it exists.

    Raises:
        UserError: if there is no design.
    """
    design = load_design(design_directory)
    operators = [hardware_directory() / "rtl" / name for name in _OPERATORS]
    layouts = {"input": frame_layout(design.input), "output": frame_layout(design.output)}
    parts = [
        *(design_directory / name for name in (*design.files, *design.memories, DESIGN_FILE)),
        *operators,
    ]
    digest = hashlib.sha256(_module(design, layouts, "").encode())
    for path in parts:
        digest.update(f"\0{path.name}\0{content_hash(path)}".encode())
    build = digest.hexdigest()
    for path in operators:
        shutil.copyfile(path, directory / path.name)
    module = directory / f"{design.top}_shell.v"
    module.write_text(_module(design, layouts, build))
    shell = Shell(
        top=module.stem,
        files=(*_OPERATORS, module.name),
        build=build,
        beat_bytes=BEAT_BYTES,
        streams=design.streams,
        **layouts,
    )
    (directory / FILE_NAME).write_text(shell.model_dump_json(indent=2) + "\n")
    return shell


def load_shell(directory: Path) -> Shell:
    """Read the shell.json of a directory.

    Raises:
        UserError: if it is missing or damaged, or names files outside the directory.
    """
    again = "generate the shell again"
    try:
        shell = Shell.model_validate_json((directory / FILE_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        first = " ".join(str(error).splitlines()[:3])
        raise UserError(f"{directory} is no shell: {first}", remedy=again) from error
    if any(Path(name).name != name for name in shell.files):
        raise UserError(f"{directory} names files outside itself", remedy=again)
    return shell


def _module(design: Design, layouts: dict[str, FrameLayout], build: str) -> str:
    return _SHELL.format(
        top=design.top,
        streams=len(design.streams),
        build=build,
        input=design.input,
        output=design.output,
        input_layout=layouts["input"],
        output_layout=layouts["output"],
    )
