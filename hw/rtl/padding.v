// SPDX-License-Identifier: Apache-2.0
// Puts a border around every frame. Frames arrive and leave row by row, FOLD words per pixel.
//
//   WIDTH                     bits of a word
//   FOLD                      words per pixel
//   HEIGHT, IMAGE_WIDTH       pixels of the frame that arrives
//   TOP, LEFT, BOTTOM, RIGHT  pixels of the border
//   PAD_WORD                  every word of the border
//
// II = (TOP + HEIGHT + BOTTOM) * (LEFT + IMAGE_WIDTH + RIGHT) * FOLD cycles per frame.
module padding #(
    parameter WIDTH = 8,
    parameter FOLD = 1,
    parameter HEIGHT = 1,
    parameter IMAGE_WIDTH = 1,
    parameter TOP = 0,
    parameter LEFT = 0,
    parameter BOTTOM = 0,
    parameter RIGHT = 0,
    parameter [WIDTH-1:0] PAD_WORD = 0
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output reg [WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  localparam ROWS = TOP + HEIGHT + BOTTOM;
  localparam ROW_WORDS = (LEFT + IMAGE_WIDTH + RIGHT) * FOLD;
  localparam FIRST_WORD = LEFT * FOLD;
  localparam END_WORD = (LEFT + IMAGE_WIDTH) * FOLD;

  reg [$clog2(ROWS+1)-1:0] row;
  reg [$clog2(ROW_WORDS+1)-1:0] word;
  wire interior = row >= TOP && row < TOP + HEIGHT && word >= FIRST_WORD && word < END_WORD;
  wire free = !m_tvalid || m_tready;
  wire start = row == 0 && word == 0;  // the border waits for its frame
  wire produce = free && (s_tvalid || !(interior || start));
  assign s_tready = free && interior;

  always @(posedge clk) begin
    if (produce) m_tdata <= interior ? s_tdata : PAD_WORD;
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      row <= 0;
      word <= 0;
    end else begin
      if (free) m_tvalid <= produce;
      if (produce) begin
        word <= (word == ROW_WORDS - 1) ? 0 : word + 1'b1;
        if (word == ROW_WORDS - 1) row <= (row == ROWS - 1) ? 0 : row + 1'b1;
      end
    end
  end
endmodule
