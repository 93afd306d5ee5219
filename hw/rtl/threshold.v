// SPDX-License-Identifier: Apache-2.0
// Quantizes: y = BASE + (how many of the channel's STEPS thresholds are <= x).
//
//   CHANNELS, PE   channels of a pixel and of a word; PE divides CHANNELS
//   INPUT_BITS     bits of x, two's complement if INPUT_SIGNED
//   STEPS          thresholds per channel
//   OUTPUT_BITS    bits of y, two's complement if negative
//   BASE           the same for all channels
//
// Thresholds come from memories outside in the order of `row_output`: LANES = PE, words of PE
// channels, SUM_BITS = INPUT_BITS + 1. What is kept is the threshold plus 2^(INPUT_BITS - 1) if
// INPUT_SIGNED: from 0 ("always") to 2^INPUT_BITS ("never"). row_data is what belongs to the
// row_address of the last cycle with row_enable.
//
// II = CHANNELS / PE cycles per pixel: one word per cycle.
module threshold #(
    parameter CHANNELS = 1,
    parameter PE = 1,
    parameter INPUT_BITS = 8,
    parameter INPUT_SIGNED = 1,
    parameter STEPS = 1,
    parameter OUTPUT_BITS = 1,
    parameter integer BASE = 0,
    // derived
    parameter FOLD = CHANNELS / PE,
    parameter SUM_BITS = INPUT_BITS + 1,
    parameter SLOTS = PE * $clog2(STEPS + 1),
    parameter SLOT_BITS = (FOLD > 1 ? $clog2(FOLD) : 1) + $clog2(STEPS + 1)
) (
    input clk,
    input rst_n,
    input [PE*INPUT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [PE*OUTPUT_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output row_enable,
    output [SLOTS*SLOT_BITS-1:0] row_address,
    input [SLOTS*SUM_BITS-1:0] row_data
);
  wire free = !m_tvalid || m_tready;
  assign s_tready   = free;
  assign row_enable = free;

  // x as an unsigned number in the same order
  wire [PE*SUM_BITS-1:0] x;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : element
      wire [INPUT_BITS-1:0] sign = INPUT_SIGNED ? 1 << (INPUT_BITS - 1) : 0;
      assign x[p*SUM_BITS+:SUM_BITS] = {1'b0, s_tdata[p*INPUT_BITS+:INPUT_BITS] ^ sign};
    end
  endgenerate

  row_output #(
      .LANES(PE),
      .SUM_BITS(SUM_BITS),
      .STEPS(STEPS),
      .OUTPUT_BITS(OUTPUT_BITS),
      .BASE(BASE),
      .WORDS(FOLD)
  ) search (
      .clk(clk),
      .rst_n(rst_n),
      .enable(free),
      .s_data(x),
      .s_valid(s_tvalid),
      .m_data(m_tdata),
      .m_valid(m_tvalid),
      .row_address(row_address),
      .row_data(row_data)
  );
endmodule
