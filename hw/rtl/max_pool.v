// SPDX-License-Identifier: Apache-2.0
// Element-wise maximum of every KERNEL_WORDS consecutive words. A `sliding_window` with
// DEPTHWISE = 1 in front makes them the pixels of a window.
//
//   PE            elements of a word
//   BITS          bits of an element, two's complement if SIGNED
//   KERNEL_WORDS  words that become one
//
// II = KERNEL_WORDS cycles per output word: one input word per cycle.
module max_pool #(
    parameter PE = 1,
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter KERNEL_WORDS = 1
) (
    input clk,
    input rst_n,
    input [PE*BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [PE*BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  reg [PE*BITS-1:0] largest;  // of this window so far; the answer while full
  reg [$clog2(KERNEL_WORDS+1)-1:0] words;
  reg first, full;
  assign m_tdata  = largest;
  assign m_tvalid = full;
  assign s_tready = !full || m_tready;
  wire take = s_tvalid && s_tready;
  wire last = words == KERNEL_WORDS - 1;

  wire [PE*BITS-1:0] larger;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : element
      wire [BITS-1:0] fresh = s_tdata[p*BITS+:BITS];
      wire [BITS-1:0] kept = largest[p*BITS+:BITS];
      wire greater = SIGNED ? $signed(fresh) > $signed(kept) : fresh > kept;
      wire changes = first || greater;
      // A bit is cheaper as a function of three than with a clock enable of its own.
      if (BITS == 1) begin : one_bit
        assign larger[p*BITS+:BITS] = {BITS{changes}} & fresh | ~{BITS{changes}} & kept;
      end else begin : several
        assign larger[p*BITS+:BITS] = changes ? fresh : kept;
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (take) largest <= larger;
    if (!rst_n) begin
      words <= 0;
      first <= 1'b1;
      full  <= 1'b0;
    end else begin
      if (take) begin
        words <= last ? 0 : words + 1'b1;
        first <= last;
      end
      if (take && last) full <= 1'b1;
      else if (m_tready) full <= 1'b0;
    end
  end
endmodule
