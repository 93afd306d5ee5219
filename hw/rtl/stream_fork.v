// SPDX-License-Identifier: Apache-2.0
// Gives every word of a stream to each of several readers. A reader may be one word ahead of the
// others; for more, put a `fifo` behind.
//
//   WIDTH   bits of a word
//   COPIES  readers; reader i has bit i of m_tvalid and m_tready and slice i of m_tdata
//
// One word per cycle. No register in the data.
module stream_fork #(
    parameter WIDTH  = 8,
    parameter COPIES = 2
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [COPIES*WIDTH-1:0] m_tdata,
    output [COPIES-1:0] m_tvalid,
    input [COPIES-1:0] m_tready
);
  reg [COPIES-1:0] done;  // readers that already have this word
  wire [COPIES-1:0] finished = done | m_tready;
  assign m_tdata  = {COPIES{s_tdata}};
  assign m_tvalid = {COPIES{s_tvalid}} & ~done;
  assign s_tready = &finished;
  always @(posedge clk) begin
    // Without a word in front, no bit of done is set: an offered word stays until it is taken.
    if (!rst_n || !s_tvalid || s_tready) done <= 0;
    else done <= finished;
  end
endmodule
