// SPDX-License-Identifier: Apache-2.0
// Element-wise sum of every PIXELS consecutive pixels of FOLD words each.
// Windows: FOLD = 1 behind a `sliding_window` with DEPTHWISE = 1. Whole frames: FOLD words per pixel
// and PIXELS of a frame, nothing in front.
//
//   PE           elements of a word
//   INPUT_BITS   bits of an element, two's complement if INPUT_SIGNED
//   PIXELS       pixels that become one
//   FOLD         words per pixel
//   OUTPUT_BITS  bits of a sum
//
// II = PIXELS * FOLD cycles per output pixel: one input word per cycle.
module sum_pool #(
    parameter PE = 1,
    parameter INPUT_BITS = 8,
    parameter INPUT_SIGNED = 0,
    parameter PIXELS = 1,
    parameter FOLD = 1,
    parameter OUTPUT_BITS = 8
) (
    input clk,
    input rst_n,
    input [PE*INPUT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output reg [PE*OUTPUT_BITS-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  reg [$clog2(FOLD+1)-1:0] word;
  reg [$clog2(PIXELS+1)-1:0] pixel;
  wire first = pixel == 0;
  wire last = pixel == PIXELS - 1;
  wire last_word = word == FOLD - 1;
  assign s_tready = !m_tvalid || m_tready;
  wire take = s_tvalid && s_tready;

  wire [PE*OUTPUT_BITS-1:0] sums;
  genvar p, b;
  generate
    for (p = 0; p < PE; p = p + 1) begin : element
      wire [INPUT_BITS-1:0] x = s_tdata[p*INPUT_BITS+:INPUT_BITS];
      wire signed [INPUT_BITS:0] wide = {INPUT_SIGNED ? x[INPUT_BITS-1] : 1'b0, x};
      wire signed [OUTPUT_BITS-1:0] partial;  // of the pixels so far
      assign sums[p*OUTPUT_BITS+:OUTPUT_BITS] = first ? wide : partial + wide;
      // The FOLD sums of a pixel circulate.
      for (b = 0; b < OUTPUT_BITS; b = b + 1) begin : column
        reg [FOLD-1:0] kept;
        assign partial[b] = kept[FOLD-1];
        always @(posedge clk) if (take) kept <= {kept, sums[p*OUTPUT_BITS+b]};
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (take) m_tdata <= sums;
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      word <= 0;
      pixel <= 0;
    end else begin
      if (s_tready) m_tvalid <= s_tvalid && last;
      if (take) begin
        word <= last_word ? 0 : word + 1'b1;
        if (last_word) pixel <= last ? 0 : pixel + 1'b1;
      end
    end
  end
endmodule
