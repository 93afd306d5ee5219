// SPDX-License-Identifier: Apache-2.0
// Repeats the pixels of every row, and every row (nearest-neighbour upsampling). Frames arrive and
// leave row by row, FOLD words per pixel. One row is stored.
//
//   WIDTH           bits of a word
//   FOLD            words per pixel
//   IMAGE_WIDTH     pixels of a row that arrives
//   ROWS, COLUMNS   how often rows and pixels are repeated
//
// II = ROWS * IMAGE_WIDTH * COLUMNS * FOLD cycles per row that arrives: one output word per cycle.
module upsample #(
    parameter WIDTH = 8,
    parameter FOLD = 1,
    parameter IMAGE_WIDTH = 1,
    parameter ROWS = 2,
    parameter COLUMNS = 2
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  localparam DEPTH = IMAGE_WIDTH * FOLD;
  localparam ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;

  reg [WIDTH-1:0] words[0:DEPTH-1];
  reg [ADDRESS_BITS-1:0] address, pixel_address;  // of the word; of its pixel's first
  reg [$clog2(FOLD+1)-1:0] word;
  reg [$clog2(COLUMNS+1)-1:0] column;  // repetitions so far
  reg [$clog2(ROWS+1)-1:0] row;
  wire word_end = word == FOLD - 1;
  wire column_end = column == COLUMNS - 1;
  wire row_end = address == DEPTH - 1;  // with the two above

  wire free = !m_tvalid || m_tready;
  wire fresh = row == 0 && column == 0;
  wire produce = free && (s_tvalid || !fresh);
  assign s_tready = free && fresh;

  reg [WIDTH-1:0] arrived, stored;
  reg is_fresh;
  assign m_tdata = is_fresh ? arrived : stored;
  always @(posedge clk) begin
    if (s_tvalid && s_tready) words[address] <= s_tdata;
    if (free) begin
      arrived <= s_tdata;
      stored <= words[address];
      is_fresh <= fresh;
    end
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      address <= 0;
      pixel_address <= 0;
      word <= 0;
      column <= 0;
      row <= 0;
    end else begin
      if (free) m_tvalid <= produce;
      if (produce) begin
        word <= word_end ? 0 : word + 1'b1;
        if (word_end) column <= column_end ? 0 : column + 1'b1;
        if (word_end && column_end && row_end) row <= row == ROWS - 1 ? 0 : row + 1'b1;
        if (!word_end) address <= address + 1'b1;
        else if (!column_end) address <= pixel_address;
        else begin
          address <= row_end ? 0 : address + 1'b1;
          pixel_address <= row_end ? 0 : address + 1'b1;
        end
      end
    end
  end
endmodule
