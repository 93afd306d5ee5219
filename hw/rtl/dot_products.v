// SPDX-License-Identifier: Apache-2.0
// Dot products of a word of elements with PE rows of weight codes, accumulated over words.
//
//   KIND           0 xnor, 1 binary, 2 ternary, 3 integer: what a word adds to a sum, see below
//   SIMD, PE       elements of a word, rows
//   ELEMENT_BITS   bits of an element
//   FLIP           1: invert the highest bit of every element (two's complement to offset binary)
//   WEIGHT_BITS    bits of a code: 1 for xnor and binary, 2 for ternary (bit 1: negative, bit 0:
//                  not zero), two's complement for integer
//   SUM_BITS       bits of a sum, which is taken modulo 2^SUM_BITS
//   LATENCY        a word that is there in one cycle is added LATENCY cycles later, if `enable` then
//   START          what a sum holds before the word that comes with `first`
//
// Bit b of the code of element i of row p is codes[(p * WEIGHT_BITS + b) * SIMD + i].
// With e an element (unsigned, after FLIP) and w its code, a word adds
//   xnor      how many bits of element and code are equal (ELEMENT_BITS 1, FLIP 0)
//   binary    2 * (sum of e with w = 1) - (sum of e) + 2^k - 1; k are the bits of SIMD * (2^A - 1)
//   ternary   (sum of w * e) + SIMD * 2^A - (number of w < 0), A = ELEMENT_BITS
//   integer   (sum of w * e) + 2^(WEIGHT_BITS - 1) * (2^A - 1) * SIMD
// The generated structures of LUTs, carry chains and DSP slices add the same.
module dot_products #(
    parameter KIND = 2,
    parameter SIMD = 1,
    parameter PE = 1,
    parameter ELEMENT_BITS = 1,
    parameter FLIP = 0,
    parameter WEIGHT_BITS = 1,
    parameter SUM_BITS = 8,
    parameter LATENCY = 2,
    parameter [SUM_BITS-1:0] START = 0
) (
    input clk,
    input [SIMD*ELEMENT_BITS-1:0] elements,
    input [PE*WEIGHT_BITS*SIMD-1:0] codes,
    input enable,
    input first,
    output [PE*SUM_BITS-1:0] sums
);
  localparam [63:0] LARGEST = SIMD * ((64'd1 << ELEMENT_BITS) - 1);
  localparam ELEMENT_SUM_BITS = $clog2(LARGEST + 1);

  function [SUM_BITS-1:0] ones(input [SIMD-1:0] bits);
    integer k;
    begin
`ifdef VERILATOR
      ones = $countones(bits);  // the same, but much faster
`else
      ones = 0;
      for (k = 0; k < SIMD; k = k + 1) ones = ones + bits[k];
`endif
    end
  endfunction

  // Plane b: bit b of all elements.
  integer i, b;
  reg [ELEMENT_BITS*SIMD-1:0] planes;
  reg [SUM_BITS-1:0] inverted_sum;
  always @* begin
    for (i = 0; i < SIMD; i = i + 1)
      for (b = 0; b < ELEMENT_BITS; b = b + 1)
        planes[b*SIMD+i] = elements[i*ELEMENT_BITS+b] ^ (FLIP && b == ELEMENT_BITS - 1);
    inverted_sum = (64'd1 << ELEMENT_SUM_BITS) - 1;
    if (KIND == 1)
      for (b = 0; b < ELEMENT_BITS; b = b + 1)
        inverted_sum = inverted_sum - (ones(planes[b*SIMD+:SIMD]) << b);
  end

  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : row
      wire [WEIGHT_BITS*SIMD-1:0] weights = codes[p*WEIGHT_BITS*SIMD+:WEIGHT_BITS*SIMD];
      wire [SIMD-1:0] low = weights[SIMD-1:0];
      wire [SIMD-1:0] high = weights[(WEIGHT_BITS-1)*SIMD+:SIMD];
      integer j, k;
      reg [SUM_BITS-1:0] value;
      always @* begin
        value = 0;
        for (j = 0; j < ELEMENT_BITS; j = j + 1) begin
          if (KIND == 0) value = value + ones(~(planes[j*SIMD+:SIMD] ^ low));
          if (KIND == 1) value = value + (ones(planes[j*SIMD+:SIMD] & low) << (j + 1));
          if (KIND == 2) value = value + (ones((planes[j*SIMD+:SIMD] ^ high) & low) << j);
          if (KIND == 3)
            for (k = 0; k < WEIGHT_BITS; k = k + 1)
              value = value + ((k == WEIGHT_BITS - 1 ? SIMD - ones(planes[j*SIMD+:SIMD] & high)
                                : ones(planes[j*SIMD+:SIMD] & weights[k*SIMD+:SIMD])) << (j + k));
        end
        if (KIND == 1) value = value + inverted_sum;
        if (KIND == 2) value = value + ((SIMD - ones(high)) << ELEMENT_BITS);
      end

      reg [LATENCY*SUM_BITS-1:0] delay;
      reg [SUM_BITS-1:0] sum;
      wire [(LATENCY+1)*SUM_BITS-1:0] delayed = {delay, value};
      assign sums[p*SUM_BITS+:SUM_BITS] = sum;
      always @(posedge clk) begin
        delay <= delayed[LATENCY*SUM_BITS-1:0];
        if (enable) sum <= (first ? START : sum) + delayed[LATENCY*SUM_BITS+:SUM_BITS];
      end
    end
  endgenerate
endmodule
