// SPDX-License-Identifier: Apache-2.0
// Turns the sums of rows into the elements of the output: thresholds, or an offset taken off.
//
//   LANES         sums per cycle
//   SUM_BITS      bits of a sum x, unsigned
//   STEPS         thresholds per row; 0: y = x * 2^GAIN - offset of the row
//   GAIN          see STEPS
//   OUTPUT_BITS   bits of y, two's complement if negative
//   BASE          with thresholds: y = BASE + (how many of the row's thresholds are <= x)
//   WORDS         words of parameters, one per word of sums; they start again after the last
//
// Words of sums arrive with `s_valid`, y leaves with `m_valid` two cycles later.
// Parameters come from a memory outside, read synchronously: row_data is the word at the row_address
// of the last cycle. It holds, for lane l, the thresholds l * STEPS + t, ascending in t, SUM_BITS
// each (one above the largest x is "never"), or the offset l of OUTPUT_BITS bits.
module row_output #(
    parameter LANES = 1,
    parameter SUM_BITS = 8,
    parameter STEPS = 1,
    parameter GAIN = 0,
    parameter OUTPUT_BITS = 1,
    parameter integer BASE = 0,
    parameter WORDS = 1
) (
    input clk,
    input rst_n,
    input [LANES*SUM_BITS-1:0] s_data,
    input s_valid,
    output [LANES*OUTPUT_BITS-1:0] m_data,
    output reg m_valid,
    output [(WORDS>1?$clog2(WORDS):1)-1:0] row_address,
    input [LANES*(STEPS?STEPS*SUM_BITS:OUTPUT_BITS)-1:0] row_data
);
  localparam COUNT_BITS = STEPS ? $clog2(STEPS + 1) : 1;
  localparam FLAGS = (1 << COUNT_BITS) - 1;  // STEPS, filled up with zeros

  reg [LANES*SUM_BITS-1:0] x;
  reg x_valid;
  reg [(WORDS>1?$clog2(WORDS):1)-1:0] address;
  assign row_address = address;
  always @(posedge clk) begin
    x <= s_data;
    x_valid <= rst_n && s_valid;
    m_valid <= rst_n && x_valid;
    if (!rst_n) address <= 0;
    else if (s_valid) address <= (address == WORDS - 1) ? 0 : address + 1'b1;
  end

  genvar l, t, b;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : lane
      wire [SUM_BITS-1:0] sum = x[l*SUM_BITS+:SUM_BITS];
      reg [OUTPUT_BITS-1:0] y;
      assign m_data[l*OUTPUT_BITS+:OUTPUT_BITS] = y;
      if (STEPS == 0) begin : plain
        wire [OUTPUT_BITS-1:0] wide = sum;
        always @(posedge clk) y <= (wide << GAIN) - row_data[l*OUTPUT_BITS+:OUTPUT_BITS];
      end else begin : thresholds
        wire [FLAGS-1:0] reached;
        for (t = 0; t < FLAGS; t = t + 1) begin : step
          if (t < STEPS) begin : used
            assign reached[t] = sum >= row_data[(l*STEPS+t)*SUM_BITS+:SUM_BITS];
          end else begin : unused
            assign reached[t] = 1'b0;
          end
        end
        // The flags are ones below zeros: their count is found by halving.
        wire [COUNT_BITS-1:0] count;
        for (b = COUNT_BITS - 1; b >= 0; b = b - 1) begin : digit
          wire [(2<<b)-2:0] rest;
          if (b == COUNT_BITS - 1) begin : top
            assign rest = reached;
          end else begin : lower
            assign rest = count[b+1] ? digit[b+1].rest[(4<<b)-2:2<<b]
                : digit[b+1].rest[(2<<b)-2:0];
          end
          assign count[b] = rest[(1<<b)-1];
        end
        wire signed [31:0] value = BASE + $signed({1'b0, count});
        always @(posedge clk) y <= value[OUTPUT_BITS-1:0];
      end
    end
  endgenerate
endmodule
