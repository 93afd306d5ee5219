// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution: every channel of a window times weights of its own, summed; the sums leave,
// or how many thresholds they reach. A `sliding_window` with DEPTHWISE = 1 in front gives the
// windows: KERNEL_WORDS words of PE channels, then the next PE channels.
//
//   CHANNELS, PE  channels of a pixel and of a word; PE divides CHANNELS
//   KERNEL_WORDS  pixels of a window
//   INPUT_BITS    bits of x, two's complement if INPUT_SIGNED
//   BIPOLAR       x is one bit: 0 means -1, 1 means +1
//   WEIGHT_BITS   1: 0 means -1, 1 means +1; 2: -1, 0 or +1; more: any, all two's complement
//   SUM_BITS      bits of a sum, two's complement
//   STEPS         thresholds per channel; 0: y is the sum, OUTPUT_BITS = SUM_BITS, LANES = PE
//   LANES         channels of an output word; divides PE, PE / LANES <= KERNEL_WORDS
//   OUTPUT_BITS   bits of y, two's complement if negative
//   BASE          with thresholds: y = BASE + (how many of the channel's thresholds are <= the sum)
//
// Weights come from a memory outside, read synchronously: weight_data is the word at the
// weight_address of the last cycle with weight_enable. Word f * KERNEL_WORDS + k holds, at element
// p, the weight of pixel k of channel f * PE + p.
// Thresholds come from memories in the order of `row_output`, words of LANES channels; what is kept
// is the threshold plus 2^(SUM_BITS - 1). row_data is what belongs to the row_address of the last
// cycle with row_enable. Without thresholds leave these ports open.
//
// II = KERNEL_WORDS cycles per PE channels: one input word per cycle.
module depthwise_unit #(
    parameter CHANNELS = 1,
    parameter PE = 1,
    parameter KERNEL_WORDS = 9,
    parameter INPUT_BITS = 2,
    parameter INPUT_SIGNED = 0,
    parameter BIPOLAR = 0,
    parameter WEIGHT_BITS = 2,
    parameter SUM_BITS = 8,
    parameter STEPS = 0,
    parameter LANES = PE,
    parameter OUTPUT_BITS = SUM_BITS,
    parameter integer BASE = 0,
    // derived
    parameter ADDRESSES = CHANNELS / PE * KERNEL_WORDS,
    parameter WORDS = CHANNELS / LANES,
    parameter SLOTS = STEPS ? LANES * $clog2(STEPS + 1) : 1,
    parameter SLOT_BITS = (WORDS > 1 ? $clog2(WORDS) : 1) + (STEPS ? $clog2(STEPS + 1) : 0)
) (
    input clk,
    input rst_n,
    input [PE*INPUT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [LANES*OUTPUT_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output weight_enable,
    output [(ADDRESSES>1?$clog2(ADDRESSES):1)-1:0] weight_address,
    input [PE*WEIGHT_BITS-1:0] weight_data,
    output row_enable,
    output [SLOTS*SLOT_BITS-1:0] row_address,
    input [SLOTS*SUM_BITS-1:0] row_data
);
  localparam ADDRESS_BITS = ADDRESSES > 1 ? $clog2(ADDRESSES) : 1;
  localparam X_BITS = INPUT_BITS + 1;
  localparam PRODUCT_BITS = X_BITS + (WEIGHT_BITS > 2 ? WEIGHT_BITS : 0);

  // What is compared is unsigned, in the same order.
  localparam [SUM_BITS-1:0] FLIP = STEPS ? 1 << (SUM_BITS - 1) : 0;

  // x and its weights, then the products, then their sum
  reg x_valid, product_valid, sum_valid;
  wire free = !m_tvalid || m_tready;
  assign s_tready = free;

  reg [PE*INPUT_BITS-1:0] x;
  reg [ADDRESS_BITS-1:0] address;
  reg [$clog2(KERNEL_WORDS+1)-1:0] pixel;  // of the product
  wire first = pixel == 0;
  wire last = pixel == KERNEL_WORDS - 1;
  assign weight_enable  = free;
  assign row_enable     = free;
  assign weight_address = address;
  always @(posedge clk) begin
    if (free) x <= s_tdata;
    if (!rst_n) begin
      x_valid <= 1'b0;
      product_valid <= 1'b0;
      sum_valid <= 1'b0;
      address <= 0;
      pixel <= 0;
    end else if (free) begin
      x_valid <= s_tvalid;
      product_valid <= x_valid;
      sum_valid <= product_valid && last;
      if (s_tvalid) address <= address == ADDRESSES - 1 ? 0 : address + 1'b1;
      if (product_valid) pixel <= last ? 0 : pixel + 1'b1;
    end
  end

  wire [PE*SUM_BITS-1:0] sums;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : channel
      wire [INPUT_BITS-1:0] code = x[p*INPUT_BITS+:INPUT_BITS];
      wire signed [X_BITS-1:0] value = BIPOLAR ? {!code[0], 1'b1}
          : {INPUT_SIGNED ? code[INPUT_BITS-1] : 1'b0, code};
      wire signed [WEIGHT_BITS-1:0] weight = weight_data[p*WEIGHT_BITS+:WEIGHT_BITS];
      // -x is ~x and a one carried into the sum
      reg signed [PRODUCT_BITS-1:0] product;
      reg carry;
      if (WEIGHT_BITS == 1) begin : binary
        always @(posedge clk)
          if (free) {product, carry} <= weight[0] ? {value, 1'b0} : {~value, 1'b1};
      end else if (WEIGHT_BITS == 2) begin : ternary
        always @(posedge clk)
          if (free)
            {product, carry} <= !weight[0] ? 0 : weight[1] ? {~value, 1'b1} : {value, 1'b0};
      end else begin : integers
        always @(posedge clk)
          if (free) begin
            product <= value * weight;
            carry   <= 1'b0;
          end
      end
      reg signed [SUM_BITS-1:0] sum;
      wire signed [SUM_BITS-1:0] partial = first ? 0 : sum;
      assign sums[p*SUM_BITS+:SUM_BITS] = sum ^ FLIP;
      always @(posedge clk)
        if (free && product_valid) sum <= partial + product + $signed({1'b0, carry});
    end

    if (STEPS == 0) begin : raw
      assign m_tdata     = sums;
      assign m_tvalid    = sum_valid;
      assign row_address = 0;
    end else begin : thresholds
      wire [LANES*SUM_BITS-1:0] x;
      wire x_valid;
      parallel_to_serial #(
          .WIDTH(LANES * SUM_BITS),
          .STEPS(PE / LANES)
      ) serial (
          .clk(clk),
          .rst_n(rst_n),
          .enable(free),
          .s_data(sums),
          .s_valid(sum_valid),
          .m_data(x),
          .m_valid(x_valid)
      );
      row_output #(
          .LANES(LANES),
          .SUM_BITS(SUM_BITS),
          .STEPS(STEPS),
          .OUTPUT_BITS(OUTPUT_BITS),
          .BASE(BASE),
          .WORDS(WORDS)
      ) search (
          .clk(clk),
          .rst_n(rst_n),
          .enable(free),
          .s_data(x),
          .s_valid(x_valid),
          .m_data(m_tdata),
          .m_valid(m_tvalid),
          .row_address(row_address),
          .row_data(row_data)
      );
    end
  endgenerate
endmodule
