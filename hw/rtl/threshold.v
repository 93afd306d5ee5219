// SPDX-License-Identifier: Apache-2.0
// Quantizes: y = BASE + STEP * (how many of the channel's STEPS thresholds are <= x).
//
//   CHANNELS, PE   channels of a pixel and of a word; PE divides CHANNELS
//   INPUT_BITS     bits of x, two's complement if INPUT_SIGNED
//   STEPS          thresholds per channel
//   OUTPUT_BITS    bits of y, two's complement if negative
//   BASE, STEP     the same for all channels
//
// Thresholds come from a memory outside, read synchronously: threshold_data is the word at the
// threshold_address of the last cycle with threshold_enable. Word f holds, at element
// p * STEPS + t, threshold t of channel f * PE + p, ascending in t. A threshold has INPUT_BITS + 1
// bits and the signedness of x, so that one beyond the largest x ("never") can be written.
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
    parameter integer STEP = 1
) (
    input clk,
    input rst_n,
    input [PE*INPUT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [PE*OUTPUT_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output threshold_enable,
    output [(CHANNELS/PE>1?$clog2(CHANNELS/PE):1)-1:0] threshold_address,
    input [PE*STEPS*(INPUT_BITS+1)-1:0] threshold_data
);
  localparam FOLD = CHANNELS / PE;
  localparam BITS = INPUT_BITS + 1;
  localparam COUNT_BITS = $clog2(STEPS + 1);
  localparam FLAGS = (1 << COUNT_BITS) - 1;  // STEPS, filled up with zeros

  // x and its thresholds, then which thresholds it reaches, then y
  reg x_valid, flags_valid, y_valid;
  wire free = !y_valid || m_tready;
  assign s_tready = free;
  assign m_tvalid = y_valid;

  reg [PE*INPUT_BITS-1:0] x;
  reg [(FOLD>1?$clog2(FOLD):1)-1:0] fold;
  assign threshold_enable  = free;
  assign threshold_address = fold;
  always @(posedge clk) begin
    if (free) x <= s_tdata;
    if (!rst_n) begin
      x_valid <= 1'b0;
      flags_valid <= 1'b0;
      y_valid <= 1'b0;
      fold <= 0;
    end else if (free) begin
      x_valid <= s_tvalid;
      flags_valid <= x_valid;
      y_valid <= flags_valid;
      if (s_tvalid) fold <= (fold == FOLD - 1) ? 0 : fold + 1'b1;
    end
  end

  genvar p, t, b;
  generate
    for (p = 0; p < PE; p = p + 1) begin : element
      wire [INPUT_BITS-1:0] narrow = x[p*INPUT_BITS+:INPUT_BITS];
      wire [BITS-1:0] wide = {INPUT_SIGNED ? narrow[INPUT_BITS-1] : 1'b0, narrow};
      reg [FLAGS-1:0] flags;
      for (t = 0; t < FLAGS; t = t + 1) begin : step
        if (t < STEPS) begin : used
          wire [BITS-1:0] level = threshold_data[(p*STEPS+t)*BITS+:BITS];
          wire reached = INPUT_SIGNED ? $signed(wide) >= $signed(level) : wide >= level;
          always @(posedge clk) if (free) flags[t] <= reached;
        end else begin : unused
          always @(posedge clk) flags[t] <= 1'b0;
        end
      end

      // The flags are ones below zeros: their count is found by halving.
      wire [COUNT_BITS-1:0] count;
      for (b = COUNT_BITS - 1; b >= 0; b = b - 1) begin : digit
        wire [(2<<b)-2:0] rest;
        if (b == COUNT_BITS - 1) begin : top
          assign rest = flags;
        end else begin : lower
          assign rest = count[b+1] ? digit[b+1].rest[(4<<b)-2:2<<b] : digit[b+1].rest[(2<<b)-2:0];
        end
        assign count[b] = rest[(1<<b)-1];
      end

      wire signed [31:0] value = BASE + STEP * $signed({1'b0, count});
      reg [OUTPUT_BITS-1:0] y;
      assign m_tdata[p*OUTPUT_BITS+:OUTPUT_BITS] = y;
      always @(posedge clk) if (free) y <= value[OUTPUT_BITS-1:0];
    end
  endgenerate
endmodule
