// SPDX-License-Identifier: Apache-2.0
// Multiplies the elements of a word by scales: what `dot_products` adds up is wider then.
//
//   SIMD           elements of a word
//   ELEMENT_BITS   bits of an element
//   FLIP           1: invert the highest bit of every element first (two's complement to offset
//                  binary)
//   SHARE          so many neighbouring elements share a scale; divides SIMD
//   SCALE_BITS     bits of a scale, unsigned
//   SCALED_BITS    bits of a product of the unsigned element and its scale
//
// `scaled` follows `elements` and `scales` by one cycle. A one-bit element selects its scale or 0.
module element_scale #(
    parameter SIMD = 1,
    parameter ELEMENT_BITS = 2,
    parameter FLIP = 0,
    parameter SHARE = 1,
    parameter SCALE_BITS = 8,
    parameter SCALED_BITS = 10
) (
    input clk,
    input [SIMD*ELEMENT_BITS-1:0] elements,
    input [(SIMD/SHARE)*SCALE_BITS-1:0] scales,
    output [SIMD*SCALED_BITS-1:0] scaled
);
  genvar i;
  generate
    for (i = 0; i < SIMD; i = i + 1) begin : lane
      wire [ELEMENT_BITS-1:0] element =
          elements[i*ELEMENT_BITS+:ELEMENT_BITS] ^ ((FLIP != 0) << (ELEMENT_BITS - 1));
      wire [SCALE_BITS-1:0] scale = scales[(i/SHARE)*SCALE_BITS+:SCALE_BITS];
      reg [SCALED_BITS-1:0] product;
      assign scaled[i*SCALED_BITS+:SCALED_BITS] = product;
      always @(posedge clk) product <= element * scale;
    end
  endgenerate
endmodule
