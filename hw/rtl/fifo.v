// SPDX-License-Identifier: Apache-2.0
// First-in first-out queue of DEPTH words.
//
//   WIDTH  bits of a word
//   DEPTH  words it can hold, at least 2
//   count  words in it now
//
// A word appears at the output one cycle after it was taken. One word per cycle, in and out, at any
// depth. s_tready depends on registers only, so a FIFO cuts the ready path between two operators.
module fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 2
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output reg [WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready,
    output reg [$clog2(DEPTH+1)-1:0] count
);
  // The oldest word waits in the output register, the others behind it.
  assign s_tready = count != DEPTH;
  wire write = s_tvalid && s_tready;
  wire read = m_tvalid && m_tready;
  wire refill = read || !m_tvalid;
  wire waiting = count > 1;  // words behind the output register
  wire store = write && (waiting || !refill);

  wire [WIDTH-1:0] next;
  generate
    if (DEPTH == 2) begin : registers
      reg [WIDTH-1:0] second;
      assign next = second;
      always @(posedge clk) if (store) second <= s_tdata;
    end else begin : memory
      localparam ADDRESS_BITS = $clog2(DEPTH - 1);
      (* ram_style = "distributed" *) reg [WIDTH-1:0] words[0:DEPTH-2];
      reg [ADDRESS_BITS-1:0] write_address, read_address;
      assign next = words[read_address];
      always @(posedge clk) begin
        if (store) words[write_address] <= s_tdata;
        if (!rst_n) begin
          write_address <= 0;
          read_address <= 0;
        end else begin
          if (store) write_address <= write_address == DEPTH - 2 ? 0 : write_address + 1'b1;
          if (read && waiting) read_address <= read_address == DEPTH - 2 ? 0 : read_address + 1'b1;
        end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (refill) m_tdata <= waiting ? next : s_tdata;
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      count <= 0;
    end else begin
      if (refill) m_tvalid <= waiting || write;
      if (write && !read) count <= count + 1'b1;
      if (read && !write) count <= count - 1'b1;
    end
  end
endmodule
