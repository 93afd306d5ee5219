// SPDX-License-Identifier: Apache-2.0
// Changes the width of a stream; one width divides the other. The order of the bits in the stream,
// least significant first, stays.
//
//   IN_WIDTH, OUT_WIDTH  bits of a word
//
// Narrowing: one output word per cycle. Widening (or equal): one input word per cycle.
module width_converter #(
    parameter IN_WIDTH  = 8,
    parameter OUT_WIDTH = 8
) (
    input clk,
    input rst_n,
    input [IN_WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [OUT_WIDTH-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  wire write = s_tvalid && s_tready;
  wire read = m_tvalid && m_tready;
  generate
    if (IN_WIDTH >= OUT_WIDTH) begin : narrow
      localparam RATIO = IN_WIDTH / OUT_WIDTH;
      reg [IN_WIDTH-1:0] parts;
      reg [$clog2(RATIO+1)-1:0] left;
      assign m_tdata  = parts[OUT_WIDTH-1:0];
      assign m_tvalid = left != 0;
      assign s_tready = left == 0 || (left == 1 && m_tready);
      always @(posedge clk) begin
        if (write) parts <= s_tdata;
        else if (read) parts <= parts >> OUT_WIDTH;
        if (!rst_n) left <= 0;
        else if (write) left <= RATIO;
        else if (read) left <= left - 1'b1;
      end
    end else begin : widen
      localparam RATIO = OUT_WIDTH / IN_WIDTH;
      reg [OUT_WIDTH-1:0] parts;
      reg [$clog2(RATIO)-1:0] filled;
      reg full;
      assign m_tdata  = parts;
      assign m_tvalid = full;
      assign s_tready = !full || m_tready;
      always @(posedge clk) begin
        if (write) parts <= {s_tdata, parts[OUT_WIDTH-1:IN_WIDTH]};
        if (!rst_n) begin
          filled <= 0;
          full   <= 1'b0;
        end else begin
          if (write) filled <= (filled == RATIO - 1) ? 0 : filled + 1'b1;
          if (write && filled == RATIO - 1) full <= 1'b1;
          else if (read) full <= 1'b0;
        end
      end
    end
  endgenerate
endmodule
