// SPDX-License-Identifier: Apache-2.0
// Indices of the K largest elements, largest first; of equal ones the first.
//
//   CLASSES     elements of a vector, at least K
//   K           indices wanted; K = 1 is `arg_max` with PE = 1
//   BITS        bits of an element, two's complement if SIGNED
//   INDEX_BITS  bits of an index, at least $clog2(CLASSES)
//
// II = CLASSES cycles per vector: one element per cycle. The indices leave as one word, the largest
// element's in the lowest bits.
module top_k #(
    parameter CLASSES = 5,
    parameter K = 5,
    parameter BITS = 8,
    parameter SIGNED = 1,
    parameter INDEX_BITS = 8
) (
    input clk,
    input rst_n,
    input [BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [K*INDEX_BITS-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  reg [INDEX_BITS-1:0] index;
  wire first = index == 0;
  wire last = index == CLASSES - 1;
  assign s_tready = !m_tvalid || m_tready;
  wire take = s_tvalid && s_tready;
  wire signed [BITS:0] fresh = {SIGNED ? s_tdata[BITS-1] : 1'b0, s_tdata};

  // Places are sorted; the element goes in front of the first that it beats, the rest move on.
  genvar k;
  generate
    for (k = 0; k < K; k = k + 1) begin : place
      reg filled;
      reg signed [BITS:0] value;
      reg [INDEX_BITS-1:0] which;
      assign m_tdata[k*INDEX_BITS+:INDEX_BITS] = which;
      wire beaten = first || !filled || fresh > value;
      wire beaten_before;  // the place in front
      if (k == 0) begin : front
        assign beaten_before = 1'b0;
        always @(posedge clk)
          if (take && beaten) begin
            value  <= fresh;
            which  <= index;
            filled <= 1'b1;
          end
      end else begin : behind
        assign beaten_before = place[k-1].beaten;
        always @(posedge clk)
          if (take && beaten) begin
            value  <= beaten_before ? place[k-1].value : fresh;
            which  <= beaten_before ? place[k-1].which : index;
            filled <= beaten_before ? place[k-1].filled && !first : 1'b1;
          end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      index <= 0;
    end else begin
      if (s_tready) m_tvalid <= take && last;
      if (take) index <= last ? 0 : index + 1'b1;
    end
  end
endmodule
