// SPDX-License-Identifier: Apache-2.0
// Puts the pixels of several streams behind each other: all words of a pixel of stream 0, then those
// of stream 1, and so on.
//
//   WIDTH       bits of a word
//   INPUTS      streams; stream i has bit i of s_tvalid and s_tready and slice i of s_tdata
//   COUNT_BITS  bits of an element of WORDS
//   WORDS       words per pixel of each stream, that of stream 0 in the lowest bits
//
// One word per cycle. No register in the data; a stream waits until it is its turn.
module stream_concat #(
    parameter WIDTH = 8,
    parameter INPUTS = 2,
    parameter COUNT_BITS = 1,
    parameter [INPUTS*COUNT_BITS-1:0] WORDS = {INPUTS{1'd1}}
) (
    input clk,
    input rst_n,
    input [INPUTS*WIDTH-1:0] s_tdata,
    input [INPUTS-1:0] s_tvalid,
    output [INPUTS-1:0] s_tready,
    output [WIDTH-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  reg [INPUTS-1:0] turn;  // one bit is set
  reg [COUNT_BITS-1:0] left;  // words of the pixel that follow this one
  assign s_tready = turn & {INPUTS{m_tready}};
  assign m_tvalid = |(turn & s_tvalid);

  genvar i;
  generate
    for (i = 0; i < INPUTS; i = i + 1) begin : stream
      localparam [COUNT_BITS-1:0] NEXT =
          WORDS[((i+1)%INPUTS)*COUNT_BITS+:COUNT_BITS] - 1'b1;
      wire [WIDTH-1:0] data;
      wire [COUNT_BITS-1:0] next;
      if (i == 0) begin : first
        assign data = s_tdata[0+:WIDTH] & {WIDTH{turn[0]}};
        assign next = NEXT & {COUNT_BITS{turn[0]}};
      end else begin : other
        assign data = stream[i-1].data | s_tdata[i*WIDTH+:WIDTH] & {WIDTH{turn[i]}};
        assign next = stream[i-1].next | NEXT & {COUNT_BITS{turn[i]}};
      end
    end
  endgenerate
  assign m_tdata = stream[INPUTS-1].data;

  always @(posedge clk) begin
    if (!rst_n) begin
      turn <= 1;
      left <= WORDS[0+:COUNT_BITS] - 1'b1;
    end else if (m_tvalid && m_tready) begin
      left <= left == 0 ? stream[INPUTS-1].next : left - 1'b1;
      if (left == 0) turn <= {turn, turn[INPUTS-1]};
    end
  end
endmodule
