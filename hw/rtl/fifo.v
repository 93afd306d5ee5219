// SPDX-License-Identifier: Apache-2.0
// First-in first-out queue of DEPTH words.
//
//   WIDTH  bits of a word
//   DEPTH  words it can hold, at least 2
//   STYLE  memory of more than 2 words: "shift" (shift-register LUTs), "distributed" (LUT RAM),
//          "block" (block RAM), or "auto": the first up to 33 words, the last from 256 words and
//          8192 bits on
//   count  words in it now
//
// A word appears at the output one cycle after it was taken (DEPTH = 2), or two cycles. One word per
// cycle, in and out, at any depth. s_tready depends on registers only, so a FIFO cuts the ready path
// between two operators.
module fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter STYLE = "auto"
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output reg [WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready,
    output [$clog2(DEPTH+1)-1:0] count
);
  localparam SHIFT = STYLE == "shift" || (STYLE == "auto" && DEPTH <= 33);
  localparam BLOCK = STYLE == "block"
      || (STYLE == "auto" && DEPTH >= 256 && DEPTH * WIDTH >= 8192);

  // The oldest word waits in the output register, the others behind it.
  wire write = s_tvalid && s_tready;
  wire refill = m_tready || !m_tvalid;

  generate
    if (DEPTH == 2) begin : registers
      reg [WIDTH-1:0] second;
      reg waiting;
      assign s_tready = !waiting;
      assign count = m_tvalid + waiting;
      always @(posedge clk) begin
        if (write) second <= s_tdata;
        if (refill) m_tdata <= waiting ? second : s_tdata;
        if (!rst_n) begin
          m_tvalid <= 1'b0;
          waiting  <= 1'b0;
        end else begin
          if (refill) m_tvalid <= waiting || write;
          if (refill) waiting <= 1'b0;
          else if (write) waiting <= 1'b1;
        end
      end
    end else begin : memory
      localparam ADDRESS_BITS = $clog2(DEPTH - 1);
      reg [ADDRESS_BITS:0] last;  // words behind the output register less one: -1 if there is none
      wire waiting = !last[ADDRESS_BITS];
      wire move = refill && waiting;
      assign s_tready = last != DEPTH - 2;
      assign count = m_tvalid + (waiting ? last + 1'b1 : 0);
      always @(posedge clk) begin
        if (!rst_n) begin
          m_tvalid <= 1'b0;
          last <= -1;
        end else begin
          if (refill) m_tvalid <= waiting;
          if (write != move) last <= last + {{ADDRESS_BITS{move}}, 1'b1};
        end
      end

      if (SHIFT) begin : shift
        genvar b;
        for (b = 0; b < WIDTH; b = b + 1) begin : column
          reg [DEPTH-2:0] stored;  // newest first
          always @(posedge clk) begin
            if (write) stored <= {stored, s_tdata[b]};
            if (refill) m_tdata[b] <= stored[last[ADDRESS_BITS-1:0]];
          end
        end
      end else begin : ring
        reg [ADDRESS_BITS-1:0] write_address, read_address;
        always @(posedge clk) begin
          if (!rst_n) begin
            write_address <= 0;
            read_address  <= 0;
          end else begin
            if (write) write_address <= write_address + 1'b1;
            if (move) read_address <= read_address + 1'b1;
          end
        end
        if (BLOCK) begin : block
          (* ram_style = "block" *) reg [WIDTH-1:0] words[0:(1<<ADDRESS_BITS)-1];
          always @(posedge clk) begin
            if (write) words[write_address] <= s_tdata;
            if (refill) m_tdata <= words[read_address];
          end
        end else begin : distributed
          (* ram_style = "distributed" *) reg [WIDTH-1:0] words[0:(1<<ADDRESS_BITS)-1];
          always @(posedge clk) begin
            if (write) words[write_address] <= s_tdata;
            if (refill) m_tdata <= words[read_address];
          end
        end
      end
    end
  endgenerate
endmodule
