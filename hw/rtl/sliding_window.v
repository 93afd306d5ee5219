// SPDX-License-Identifier: Apache-2.0
// Turns frames into the windows of a convolution or pooling. Frames arrive row by row, FOLD words
// per pixel. There is no padding inside: put `padding` in front.
//
//   WIDTH                              bits of a word
//   FOLD                               words per pixel
//   HEIGHT, IMAGE_WIDTH                pixels of a frame, at least as large as the dilated kernel
//   KERNEL_HEIGHT, KERNEL_WIDTH        pixels of a window
//   STRIDE_HEIGHT, STRIDE_WIDTH        distance of windows
//   DILATION_HEIGHT, DILATION_WIDTH    distance of the pixels of a window
//   DEPTHWISE                          order of the words of a window, outermost first:
//                                      0: kernel row, kernel column, fold
//                                      1: fold, kernel row, kernel column
//   WHOLE_ROWS                         1: a word out is a whole kernel row, its KERNEL_WIDTH pixels
//                                      side by side, the first lowest; needs FOLD 1, DEPTHWISE 0
//
// With OH = (HEIGHT - DILATION_HEIGHT * (KERNEL_HEIGHT - 1) - 1) / STRIDE_HEIGHT + 1 rows and OW
// columns of windows, frames that follow each other overlap so that
// II = max(HEIGHT * IMAGE_WIDTH, OH * OW * KERNEL_HEIGHT * KERNEL_WIDTH) * FOLD cycles per frame;
// with WHOLE_ROWS without the factor KERNEL_WIDTH.
// (Some per cent more is possible if STRIDE_WIDTH < STRIDE_HEIGHT >= rows of the dilated kernel.)
module sliding_window #(
    parameter WIDTH = 8,
    parameter FOLD = 1,
    parameter HEIGHT = 1,
    parameter IMAGE_WIDTH = 1,
    parameter KERNEL_HEIGHT = 1,
    parameter KERNEL_WIDTH = 1,
    parameter STRIDE_HEIGHT = 1,
    parameter STRIDE_WIDTH = 1,
    parameter DILATION_HEIGHT = 1,
    parameter DILATION_WIDTH = 1,
    parameter DEPTHWISE = 0,
    parameter WHOLE_ROWS = 0,
    parameter PIXELS = WHOLE_ROWS ? KERNEL_WIDTH : 1  // derived
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [PIXELS*WIDTH-1:0] m_tdata,
    output reg m_tvalid,
    input m_tready
);
  localparam KERNEL_ROWS = DILATION_HEIGHT * (KERNEL_HEIGHT - 1) + 1;
  localparam KERNEL_COLUMNS = DILATION_WIDTH * (KERNEL_WIDTH - 1) + 1;
  localparam OH = (HEIGHT - KERNEL_ROWS) / STRIDE_HEIGHT + 1;
  localparam OW = (IMAGE_WIDTH - KERNEL_COLUMNS) / STRIDE_WIDTH + 1;

  // Only pixels that some window covers are stored, in a ring of words. A window reaches over SPAN
  // words. The ring has room for a window and the farthest one that can follow it, the first of the next
  // row or of the next frame: so windows never wait for pixels that could have come earlier.
  localparam ROWS = (OH - 1) * STRIDE_HEIGHT + KERNEL_ROWS;
  localparam COLUMNS = (OW - 1) * STRIDE_WIDTH + KERNEL_COLUMNS;
  localparam SPAN = ((KERNEL_ROWS - 1) * COLUMNS + KERNEL_COLUMNS) * FOLD;
  localparam NEXT_ROW = (STRIDE_HEIGHT * COLUMNS - (OW - 1) * STRIDE_WIDTH) * FOLD;
  localparam NEXT_COLUMN = STRIDE_WIDTH * FOLD;
  localparam ADDRESS_BITS = $clog2(SPAN + (NEXT_ROW > SPAN ? NEXT_ROW : SPAN));
  localparam CAPACITY = 1 << ADDRESS_BITS;  // so that addresses wrap around by themselves
  localparam LEVEL_BITS = ADDRESS_BITS + 2;

  // The words of a window are visited by three nested counters.
  localparam ROW_STEP = DILATION_HEIGHT * COLUMNS * FOLD;
  localparam COLUMN_STEP = DILATION_WIDTH * FOLD;
  localparam INNER = DEPTHWISE ? KERNEL_WIDTH : FOLD;
  localparam MIDDLE = DEPTHWISE ? KERNEL_HEIGHT : WHOLE_ROWS ? 1 : KERNEL_WIDTH;
  localparam OUTER = DEPTHWISE ? FOLD : KERNEL_HEIGHT;
  localparam INNER_STEP = DEPTHWISE ? COLUMN_STEP : 1;
  localparam MIDDLE_STEP = (DEPTHWISE ? ROW_STEP : COLUMN_STEP) - (INNER - 1) * INNER_STEP;
  localparam OUTER_STEP = (DEPTHWISE ? 1 : ROW_STEP)
      - (DEPTHWISE ? ROW_STEP : COLUMN_STEP) * (MIDDLE - 1) - (INNER - 1) * INNER_STEP;

  // Where the last read of a window begins, and where its farthest word lies behind that.
  localparam LAST_READ = WHOLE_ROWS ? (KERNEL_HEIGHT - 1) * ROW_STEP : SPAN - 1;
  localparam REACH = WHOLE_ROWS ? (KERNEL_WIDTH - 1) * COLUMN_STEP : 0;

  reg signed [LEVEL_BITS-1:0] level;  // words stored from the start of the window on
  reg signed [LEVEL_BITS-1:0] ahead;  // words stored behind those to read; negative: one is missing

  // writing
  reg [$clog2(HEIGHT+1)-1:0] in_row;
  reg [$clog2(IMAGE_WIDTH*FOLD+1)-1:0] in_word;
  reg [ADDRESS_BITS-1:0] write_address;
  wire covered = in_row < ROWS && in_word < COLUMNS * FOLD;
  assign s_tready = !covered || level != CAPACITY;
  wire take = s_tvalid && s_tready;
  wire store = take && covered;
  wire in_row_end = in_word == IMAGE_WIDTH * FOLD - 1;

  // reading
  reg [$clog2(INNER+1)-1:0] inner;
  reg [$clog2(MIDDLE+1)-1:0] middle;
  reg [$clog2(OUTER+1)-1:0] outer;
  reg [$clog2(OH+1)-1:0] row;
  reg [$clog2(OW+1)-1:0] column;
  wire inner_end = inner == INNER - 1;
  wire middle_end = inner_end && middle == MIDDLE - 1;
  wire window_end = middle_end && outer == OUTER - 1;
  wire row_end = column == OW - 1;
  wire frame_end = row_end && row == OH - 1;

  reg [ADDRESS_BITS-1:0] read_address;
  wire free = !m_tvalid || m_tready;
  wire read = free && !ahead[LEVEL_BITS-1];
  wire signed [LEVEL_BITS-1:0] advance = frame_end ? SPAN : row_end ? NEXT_ROW : NEXT_COLUMN;
  wire signed [LEVEL_BITS-1:0] step =
      !inner_end ? INNER_STEP : !middle_end ? MIDDLE_STEP : !window_end ? OUTER_STEP
      : (frame_end ? SPAN : row_end ? NEXT_ROW : NEXT_COLUMN) - LAST_READ;

  // One memory per pixel of a word out, all with the same contents.
  genvar p;
  generate
    for (p = 0; p < PIXELS; p = p + 1) begin : pixel
      localparam [ADDRESS_BITS-1:0] PLACE = p * COLUMN_STEP;
      wire [ADDRESS_BITS-1:0] address = read_address + PLACE;
      reg [WIDTH-1:0] data;
      assign m_tdata[p*WIDTH+:WIDTH] = data;
      if (CAPACITY >= 256 && CAPACITY * WIDTH >= 8192) begin : block
        (* ram_style = "block" *) reg [WIDTH-1:0] words[0:CAPACITY-1];
        always @(posedge clk) begin
          if (store) words[write_address] <= s_tdata;
          if (read) data <= words[address];
        end
      end else begin : distributed
        (* ram_style = "distributed" *) reg [WIDTH-1:0] words[0:CAPACITY-1];
        always @(posedge clk) begin
          if (store) words[write_address] <= s_tdata;
          if (read) data <= words[address];
        end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (!rst_n) begin
      level <= 0;
      ahead <= -1 - REACH;
      in_row <= 0;
      in_word <= 0;
      write_address <= 0;
      inner <= 0;
      middle <= 0;
      outer <= 0;
      row <= 0;
      column <= 0;
      read_address <= 0;
      m_tvalid <= 1'b0;
    end else begin
      level <= level - (read && window_end ? advance : 0) + $signed({1'b0, store});
      ahead <= ahead - (read ? step : 0) + $signed({1'b0, store});
      if (take) begin
        in_word <= in_row_end ? 0 : in_word + 1'b1;
        if (in_row_end) in_row <= (in_row == HEIGHT - 1) ? 0 : in_row + 1'b1;
      end
      if (store) write_address <= write_address + 1'b1;
      if (free) m_tvalid <= read;
      if (read) begin
        inner <= inner_end ? 0 : inner + 1'b1;
        if (inner_end) middle <= middle_end ? 0 : middle + 1'b1;
        if (middle_end) outer <= window_end ? 0 : outer + 1'b1;
        if (window_end) begin
          column <= row_end ? 0 : column + 1'b1;
          if (row_end) row <= frame_end ? 0 : row + 1'b1;
        end
        read_address <= read_address + step[ADDRESS_BITS-1:0];
      end
    end
  end
endmodule
