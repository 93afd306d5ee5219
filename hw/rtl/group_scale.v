// SPDX-License-Identifier: Apache-2.0
// Multiplies the sums of groups of weights by the groups' scales and adds them up.
//
//   LANES             sums per cycle
//   STEPS             cycles per group: LANES * STEPS rows are summed at a time
//   GROUPS            groups of a row
//   SUM_BITS          bits of a sum, unsigned
//   MULTIPLIER_BITS   bits of a scale, unsigned
//   TOTAL_BITS        bits of a total, taken modulo 2^TOTAL_BITS
//   PER_ROW           0: all rows share a group's scale, 1: every row has its own
//
// Words of LANES sums arrive in the order group, step (outermost first), each with `s_valid`. With
// the last group the totals leave in the same order, three cycles after their sums.
// The scales come from a memory outside, read synchronously: multiplier_data is the word at the
// multiplier_address of the last cycle. Words are counted over all sums that arrive: one per group
// or, if PER_ROW, one (of LANES scales) per word of sums; after ADDRESSES words they start again.
module group_scale #(
    parameter LANES = 1,
    parameter STEPS = 1,
    parameter GROUPS = 1,
    parameter SUM_BITS = 8,
    parameter MULTIPLIER_BITS = 8,
    parameter TOTAL_BITS = 16,
    parameter PER_ROW = 0,
    parameter ADDRESSES = PER_ROW ? GROUPS * STEPS : GROUPS
) (
    input clk,
    input rst_n,
    input [LANES*SUM_BITS-1:0] s_data,
    input s_valid,
    output [LANES*TOTAL_BITS-1:0] m_data,
    output m_valid,
    output [(ADDRESSES>1?$clog2(ADDRESSES):1)-1:0] multiplier_address,
    input [(PER_ROW?LANES:1)*MULTIPLIER_BITS-1:0] multiplier_data
);
  reg [(ADDRESSES>1?$clog2(ADDRESSES):1)-1:0] address;
  reg [$clog2(GROUPS+1)-1:0] group;
  reg [$clog2(STEPS+1)-1:0] step;
  assign multiplier_address = address;
  wire step_end = step == STEPS - 1;
  wire group_end = group == GROUPS - 1;
  always @(posedge clk) begin
    if (!rst_n) begin
      address <= 0;
      group <= 0;
      step <= 0;
    end else if (s_valid) begin
      step <= step_end ? 0 : step + 1'b1;
      if (step_end) group <= group_end ? 0 : group + 1'b1;
      if (step_end || PER_ROW) address <= (address == ADDRESSES - 1) ? 0 : address + 1'b1;
    end
  end

  // 1: operands. 2: products. 3: totals, a ring of STEPS words.
  reg [LANES*SUM_BITS-1:0] operands;
  reg [2:1] valid, first, last;
  reg total_valid;
  assign m_valid = total_valid;
  always @(posedge clk) begin
    operands <= s_data;
    first <= {first[1], group == 0};
    last <= {last[1], group_end};
    valid <= !rst_n ? 0 : {valid[1], s_valid};
    total_valid <= rst_n && valid[2] && last[2];
  end

  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : lane
      wire [MULTIPLIER_BITS-1:0] multiplier =
          multiplier_data[(PER_ROW?l:0)*MULTIPLIER_BITS+:MULTIPLIER_BITS];
      reg [SUM_BITS+MULTIPLIER_BITS-1:0] scaled;
      reg [STEPS*TOTAL_BITS-1:0] ring;  // the oldest total lowest
      wire [TOTAL_BITS-1:0] total = (first[2] ? {TOTAL_BITS{1'b0}} : ring[TOTAL_BITS-1:0]) + scaled;
      wire [(STEPS+1)*TOTAL_BITS-1:0] next = {total, ring};
      assign m_data[l*TOTAL_BITS+:TOTAL_BITS] = ring[(STEPS-1)*TOTAL_BITS+:TOTAL_BITS];
      always @(posedge clk) begin
        scaled <= operands[l*SUM_BITS+:SUM_BITS] * multiplier;
        if (valid[2]) ring <= next[(STEPS+1)*TOTAL_BITS-1:TOTAL_BITS];
      end
    end
  endgenerate
endmodule
