// SPDX-License-Identifier: Apache-2.0
// Beats of a DMA engine to the words of an accelerator. A frame is WORDS words one after the other, each
// in WORD_BYTES bytes, lowest byte first, filled up to whole beats. The lowest WIDTH bits of a word
// leave; what fills up words and frames is dropped.
//
//   WIDTH        bits of a word
//   WORD_BYTES   bytes of a word in a frame, a power of two, at least WIDTH / 8
//   WORDS        words of a frame
//   frame_open   the first beat of a frame was taken, but not the last one
//   frame_taken  1 in the cycle in which the last beat of a frame is taken
//
// One beat per cycle if a word fills it or more, else one word per cycle. In reset no beat is taken.
module frame_input #(
    parameter WIDTH      = 8,
    parameter WORD_BYTES = 1,
    parameter WORDS      = 1
) (
    input clk,
    input rst_n,
    input [63:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [WIDTH-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output frame_open,
    output frame_taken
);
  localparam BEATS = (WORDS * WORD_BYTES + 7) / 8;
  reg [$clog2(BEATS+1)-1:0] beat;  // of the frame
  wire final_beat = beat == BEATS - 1;
  wire write = s_tvalid && s_tready;
  wire read = m_tvalid && m_tready;
  assign frame_open  = beat != 0;
  assign frame_taken = write && final_beat;
  always @(posedge clk) begin
    if (!rst_n) beat <= 0;
    else if (write) beat <= final_beat ? 0 : beat + 1'b1;
  end

  reg full;
  assign m_tvalid = full;
  generate
    if (WORD_BYTES <= 8) begin : narrow
      localparam RATIO = 8 / WORD_BYTES;
      localparam LAST = WORDS - (BEATS - 1) * RATIO;  // words in the last beat of a frame
      reg [63:0] parts;
      reg ends_frame;
      reg [2:0] index;
      wire final_word = index == (ends_frame ? LAST - 1 : RATIO - 1);
      assign m_tdata  = parts[index*8*WORD_BYTES+:WIDTH];
      assign s_tready = rst_n && (!full || (final_word && m_tready));
      always @(posedge clk) begin
        if (write) begin
          parts <= s_tdata;
          ends_frame <= final_beat;
        end
        if (write) index <= 0;
        else if (read) index <= index + 1'b1;
        if (!rst_n) full <= 1'b0;
        else if (write) full <= 1'b1;
        else if (read && final_word) full <= 1'b0;
      end
    end else begin : wide
      localparam RATIO = WORD_BYTES / 8;
      localparam INDEX_BITS = $clog2(RATIO);
      reg [8*WORD_BYTES-1:0] parts;
      wire [INDEX_BITS-1:0] index = beat;
      assign m_tdata  = parts[WIDTH-1:0];
      assign s_tready = rst_n && (!full || m_tready);
      genvar p;
      for (p = 0; p < RATIO; p = p + 1) begin : part
        always @(posedge clk) if (write && index == p) parts[p*64+:64] <= s_tdata;
      end
      always @(posedge clk) begin
        if (!rst_n) full <= 1'b0;
        else if (write && &index) full <= 1'b1;
        else if (read) full <= 1'b0;
      end
    end
  endgenerate
endmodule
