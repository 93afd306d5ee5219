// SPDX-License-Identifier: Apache-2.0
// Index of the largest of CLASSES elements; of equal ones the first.
//
//   CLASSES     elements of a vector
//   PE          elements of a word; PE divides CLASSES
//   BITS        bits of an element, two's complement if SIGNED
//   INDEX_BITS  bits of the index, at least $clog2(CLASSES)
//
// II = CLASSES / PE cycles per vector: one word per cycle.
module arg_max #(
    parameter CLASSES = 2,
    parameter PE = 1,
    parameter BITS = 8,
    parameter SIGNED = 1,
    parameter INDEX_BITS = 8
) (
    input clk,
    input rst_n,
    input [PE*BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [INDEX_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  localparam WORDS = CLASSES / PE;
  localparam LEVELS = $clog2(PE);
  localparam LEAVES = 1 << LEVELS;
  localparam PLACE_BITS = LEVELS > 0 ? LEVELS : 1;

  // the best of a word, then the best of the vector
  reg word_valid, full;
  wire free = !full || m_tready;
  assign s_tready = free;
  assign m_tvalid = full;

  // Tournament: node n has the children 2n and 2n + 1, the leaves are the nodes from LEAVES on.
  genvar n;
  generate
    for (n = 2 * LEAVES - 1; n > 0; n = n - 1) begin : node
      wire signed [BITS:0] value;
      wire [PLACE_BITS-1:0] place;
      if (n >= LEAVES + PE) begin : absent
        assign value = {1'b1, {BITS{1'b0}}};
        assign place = 0;
      end else if (n >= LEAVES) begin : leaf
        wire [BITS-1:0] element = s_tdata[(n-LEAVES)*BITS+:BITS];
        assign value = {SIGNED ? element[BITS-1] : 1'b0, element};
        assign place = n - LEAVES;
      end else begin : match
        wire second = node[2*n+1].value > node[2*n].value;
        assign value = second ? node[2*n+1].value : node[2*n].value;
        assign place = second ? node[2*n+1].place : node[2*n].place;
      end
    end
  endgenerate

  reg signed [BITS:0] word_best, best;
  reg [PLACE_BITS-1:0] word_place;
  reg [$clog2(WORDS+1)-1:0] word;
  reg [INDEX_BITS-1:0] base, index;  // of the word's first element; of the best so far
  assign m_tdata = index;
  wire first = word == 0;
  wire last = word == WORDS - 1;

  always @(posedge clk) begin
    if (free) begin
      word_best  <= node[1].value;
      word_place <= node[1].place;
      if (word_valid && (first || word_best > best)) begin
        best  <= word_best;
        index <= base + word_place;
      end
    end
    if (!rst_n) begin
      word_valid <= 1'b0;
      full <= 1'b0;
      word <= 0;
      base <= 0;
    end else if (free) begin
      word_valid <= s_tvalid;
      full <= word_valid && last;
      if (word_valid) begin
        word <= last ? 0 : word + 1'b1;
        base <= last ? 0 : base + PE;
      end
    end
  end
endmodule
