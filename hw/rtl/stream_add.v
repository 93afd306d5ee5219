// SPDX-License-Identifier: Apache-2.0
// Adds streams element by element: y = sum over i of multiplier i * x of stream i.
//
//   INPUTS           streams; stream i has bit i of s_tvalid and s_tready and slice i of s_tdata
//   PE               elements of a word
//   INPUT_BITS       bits of x, two's complement if INPUT_SIGNED; extend narrower streams to it
//   MULTIPLIER_BITS  bits of a multiplier, two's complement
//   MULTIPLIERS      all of them, that of stream 0 in the lowest bits
//   OUTPUT_BITS      bits of y, two's complement if negative
//
// II = 1: a word is taken from all streams in the same cycle, once all have one.
module stream_add #(
    parameter INPUTS = 2,
    parameter PE = 1,
    parameter INPUT_BITS = 8,
    parameter INPUT_SIGNED = 0,
    parameter MULTIPLIER_BITS = 2,
    parameter [INPUTS*MULTIPLIER_BITS-1:0] MULTIPLIERS = {INPUTS{2'd1}},
    parameter OUTPUT_BITS = 9
) (
    input clk,
    input rst_n,
    input [INPUTS*PE*INPUT_BITS-1:0] s_tdata,
    input [INPUTS-1:0] s_tvalid,
    output [INPUTS-1:0] s_tready,
    output [PE*OUTPUT_BITS-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  reg products_valid;
  wire free = !m_tvalid || m_tready;
  wire take = free && &s_tvalid;
  assign s_tready = {INPUTS{take}};
  always @(posedge clk) begin
    if (!rst_n) begin
      products_valid <= 1'b0;
      m_tvalid <= 1'b0;
    end else if (free) begin
      products_valid <= take;
      m_tvalid <= products_valid;
    end
  end

  genvar p, i;
  generate
    for (p = 0; p < PE; p = p + 1) begin : element
      for (i = 0; i < INPUTS; i = i + 1) begin : term
        wire [INPUT_BITS-1:0] x = s_tdata[(i*PE+p)*INPUT_BITS+:INPUT_BITS];
        wire signed [INPUT_BITS:0] wide = {INPUT_SIGNED ? x[INPUT_BITS-1] : 1'b0, x};
        wire signed [MULTIPLIER_BITS-1:0] multiplier =
            MULTIPLIERS[i*MULTIPLIER_BITS+:MULTIPLIER_BITS];
        reg signed [INPUT_BITS+MULTIPLIER_BITS:0] product;
        always @(posedge clk) if (free) product <= wide * multiplier;
        wire signed [OUTPUT_BITS-1:0] sum;  // of this stream and those before
        if (i == 0) assign sum = product;
        else assign sum = term[i-1].sum + product;
      end
      reg [OUTPUT_BITS-1:0] y;
      assign m_tdata[p*OUTPUT_BITS+:OUTPUT_BITS] = y;
      always @(posedge clk) if (free) y <= term[INPUTS-1].sum;
    end
  endgenerate
endmodule
