# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an accelerator: every word comes out again, after a wait that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdeploy.fpga.board import hardware_directory
from qdeploy.fpga.design import Design, Stream
from qdeploy.fpga.shell import Shell, generate_shell
from qdeploy.simulation.shell import build_shell_model

# Stream 1 stalls as many cycles as the lowest byte of a word says, for ever if it says 255; streams
# from 3 on do nothing but show a state each.
_ECHO = """\
module echo (
    input ap_clk,
    input ap_rst_n,
    input [{input}-1:0] in0_V_TDATA,
    input in0_V_TVALID,
    output in0_V_TREADY,
    output [{output}-1:0] out0_V_TDATA,
    output out0_V_TVALID,
    input out0_V_TREADY,
    output [{streams}-1:0] streams_valid,
    output [{streams}-1:0] streams_ready
);
  wire [{input}-1:0] word;
  wire valid, first_ready, second_ready;
  reg [7:0] waited;
  wire open = word[7:0] == waited && waited != 255;
  fifo #(.WIDTH({input})) first (
      .clk(ap_clk), .rst_n(ap_rst_n),
      .s_tdata(in0_V_TDATA), .s_tvalid(in0_V_TVALID), .s_tready(in0_V_TREADY),
      .m_tdata(word), .m_tvalid(valid), .m_tready(second_ready && open), .count());
  fifo #(.WIDTH({output})) second (
      .clk(ap_clk), .rst_n(ap_rst_n),
      .s_tdata({{{copies}{{word}}}}), .s_tvalid(valid && open), .s_tready(second_ready),
      .m_tdata(out0_V_TDATA), .m_tvalid(out0_V_TVALID), .m_tready(out0_V_TREADY), .count());
  always @(posedge ap_clk) begin
    if (!ap_rst_n || !valid || (open && second_ready)) waited <= 0;
    else if (!open && waited != 255) waited <= waited + 1;
  end
  localparam [3*32-1:0] VALID = {{32{{3'b110}}}}, READY = {{32{{3'b101}}}};
  assign streams_valid = {{VALID, out0_V_TVALID, valid, in0_V_TVALID}};
  assign streams_ready = {{READY, out0_V_TREADY, second_ready && open, in0_V_TREADY}};
endmodule
"""


def write_echo(directory: Path, widths: tuple[int, int], words: int, streams: int) -> None:
    """Write a design as `generate` does; see `write_echo_in_shell`."""
    (directory / "fifo.v").write_bytes((hardware_directory() / "rtl" / "fifo.v").read_bytes())
    (directory / "echo.v").write_text(
        _ECHO.format(
            input=widths[0], output=widths[1], streams=streams, copies=-(-widths[1] // widths[0])
        )
    )
    ports = [
        Stream(
            shape=(words,),
            bits=width,
            signed=False,
            bipolar=False,
            elements_per_word=1,
            words_per_frame=words,
            width=width,
        )
        for width in widths
    ]
    design = Design(
        name="echo",
        top="echo",
        files=("fifo.v", "echo.v"),
        memories={},
        part="xc7z020clg400-1",
        clock_mhz=100,
        input=ports[0],
        output=ports[1],
        cycles_per_frame=words,
        latency=words,
        critical_node="echo",
        nodes=(),
        taps=(),
        streams=tuple(f"{index} -> {index + 1}" for index in range(streams)),
    )
    design.save(directory)


def write_echo_in_shell(
    directory: Path,
    widths: tuple[int, int],
    words: int,
    streams: int,
    changes: Mapping[str, str] | None = None,
) -> Shell:
    """Folders `rtl` and `shell` of an echo.

    Args:
        directory: exists and is empty.
        widths: bits of a word that goes in, and of one that comes out: copies of the first one,
            cut off where the second is full.
        words: of a frame.
        streams: observed, at least 3.
        changes: Verilog of the shell to be replaced, each found exactly once.
    """
    design_directory, shell_directory = directory / "rtl", directory / "shell"
    design_directory.mkdir()
    shell_directory.mkdir()
    write_echo(design_directory, widths, words, streams)
    shell = generate_shell(design_directory, shell_directory)
    for old, new in (changes or {}).items():
        files = [shell_directory / name for name in shell.files]
        (file,) = [file for file in files if old in file.read_text()]
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
    return shell


def build_echo(
    directory: Path,
    widths: tuple[int, int],
    words: int,
    streams: int,
    changes: Mapping[str, str] | None = None,
) -> Path:
    """The simulation of what `write_echo_in_shell` writes."""
    write_echo_in_shell(directory, widths, words, streams, changes)
    return build_shell_model(directory / "rtl", directory / "shell", directory)
