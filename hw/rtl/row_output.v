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
// Words of sums arrive with `s_valid`, y leaves with `m_valid` 1 + COUNT_BITS cycles later
// (COUNT_BITS = $clog2(STEPS + 1); 1 without thresholds); only cycles with `enable` count.
// Parameters come from memories outside, read synchronously: data is the word at the address of the
// last such cycle. Without thresholds there is one: row_data holds OUTPUT_BITS bits of offset per lane.
// With thresholds, stage k finds bit COUNT_BITS - 1 - k of the count, in a memory of its own for each
// lane: slot l * COUNT_BITS + k of row_address (WORD_BITS + COUNT_BITS bits each) is {word, count so
// far (k bits)}, and slot l * COUNT_BITS + k of row_data is the threshold number
// (2 * count so far + 1) * 2^(COUNT_BITS - 1 - k) of that word, SUM_BITS bits; thresholds ascend and
// count from 1. Beyond STEPS, and for "never", it is one that no x reaches.
module row_output #(
    parameter LANES = 1,
    parameter SUM_BITS = 8,
    parameter STEPS = 1,
    parameter GAIN = 0,
    parameter OUTPUT_BITS = 1,
    parameter integer BASE = 0,
    parameter WORDS = 1,
    // derived
    parameter COUNT_BITS = STEPS ? $clog2(STEPS + 1) : 1,
    parameter WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1,
    parameter SLOT_BITS = WORD_BITS + (STEPS ? COUNT_BITS : 0),
    parameter SLOTS = STEPS ? LANES * COUNT_BITS : 1,
    parameter ROW_BITS = STEPS ? SLOTS * SUM_BITS : LANES * OUTPUT_BITS
) (
    input clk,
    input rst_n,
    input enable,
    input [LANES*SUM_BITS-1:0] s_data,
    input s_valid,
    output [LANES*OUTPUT_BITS-1:0] m_data,
    output m_valid,
    output [SLOTS*SLOT_BITS-1:0] row_address,
    input [ROW_BITS-1:0] row_data
);
  reg [COUNT_BITS:0] valid;
  reg [WORD_BITS-1:0] word;
  assign m_valid = valid[COUNT_BITS];
  always @(posedge clk) begin
    if (!rst_n) valid <= 0;
    else if (enable) valid <= {valid, s_valid};
    if (!rst_n) word <= 0;
    else if (enable && s_valid) word <= (WORDS == 1 || word == WORDS - 1) ? 0 : word + 1'b1;
  end

  genvar l, k;
  generate
    if (STEPS == 0) begin : no_thresholds
      assign row_address = word;
    end else begin : words
      // The word of the sums in stage k; stages look it up one cycle before.
      for (k = 0; k < COUNT_BITS; k = k + 1) begin : stage
        wire [WORD_BITS-1:0] current;
        if (k == 0) begin : first
          assign current = word;
        end else begin : later
          reg [WORD_BITS-1:0] delayed;
          assign current = delayed;
          always @(posedge clk) if (enable) delayed <= stage[k-1].current;
        end
      end
    end
    for (l = 0; l < LANES; l = l + 1) begin : lane
      reg [OUTPUT_BITS-1:0] y;
      assign m_data[l*OUTPUT_BITS+:OUTPUT_BITS] = y;
      if (STEPS == 0) begin : offset
        reg [SUM_BITS-1:0] x;
        wire [OUTPUT_BITS-1:0] wide = x;
        always @(posedge clk)
          if (enable) begin
            x <= s_data[l*SUM_BITS+:SUM_BITS];
            y <= (wide << GAIN) - row_data[l*OUTPUT_BITS+:OUTPUT_BITS];
          end
      end else begin : thresholds
        for (k = 0; k < COUNT_BITS; k = k + 1) begin : stage
          localparam SLOT = l * COUNT_BITS + k;
          wire [SUM_BITS-1:0] next;  // x of the next stage
          reg [SUM_BITS-1:0] x;
          wire [k:0] count;  // with the bit that this stage finds
          assign count[0] = x >= row_data[SLOT*SUM_BITS+:SUM_BITS];
          always @(posedge clk) if (enable) x <= next;
          if (k == 0) begin : first
            assign next = s_data[l*SUM_BITS+:SUM_BITS];
            assign row_address[SLOT*SLOT_BITS+:SLOT_BITS] = words.stage[0].current;
          end else begin : later
            reg [k-1:0] found;
            assign next = stage[k-1].x;
            assign count[k:1] = found;
            assign row_address[SLOT*SLOT_BITS+:SLOT_BITS] = {
              words.stage[k].current, stage[k-1].count
            };
            always @(posedge clk) if (enable) found <= stage[k-1].count;
          end
        end
        wire signed [31:0] value = BASE + $signed({1'b0, stage[COUNT_BITS-1].count});
        always @(posedge clk) if (enable) y <= value[OUTPUT_BITS-1:0];
      end
    end
  endgenerate
endmodule
