// SPDX-License-Identifier: Apache-2.0
// Words of an accelerator to beats for a DMA engine, laid out as in frame_input; what fills up words
// and frames is zero.
//
//   WIDTH              bits of a word
//   WORD_BYTES         bytes of a word in a frame, a power of two, at least WIDTH / 8
//   WORDS              words of a frame
//   frames_per_packet  m_tlast comes with the last beat of every so many frames
//   new_packet         1: the next frame whose last word arrives is the first of a packet
//   frame_given        1 in the cycle in which the last beat of a frame is taken
//
// One word per cycle if a beat holds it or more, else one beat per cycle. In reset no word is taken, and
// a beat that was offered is withdrawn.
module frame_output #(
    parameter WIDTH      = 8,
    parameter WORD_BYTES = 1,
    parameter WORDS      = 1
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [63:0] m_tdata,
    output m_tvalid,
    output m_tlast,
    input m_tready,
    input [31:0] frames_per_packet,
    input new_packet,
    output frame_given
);
  wire write = s_tvalid && s_tready;
  wire read = m_tvalid && m_tready;
  reg [$clog2(WORDS+1)-1:0] word;  // of the frame
  wire final_word = word == WORDS - 1;
  reg [31:0] frame;  // of the packet, from 1 on
  wire final_frame = frame == frames_per_packet;
  always @(posedge clk) begin
    if (!rst_n) word <= 0;
    else if (write) word <= final_word ? 0 : word + 1'b1;
    if (!rst_n || new_packet) frame <= 1;
    else if (write && final_word) frame <= final_frame ? 1 : frame + 1'b1;
  end

  reg full, ends_frame, ends_packet;
  assign m_tvalid = full;
  always @(posedge clk) begin
    if (write) begin
      ends_frame  <= final_word;
      ends_packet <= final_word && final_frame;
    end
  end

  generate
    if (WORD_BYTES <= 8) begin : narrow
      localparam RATIO = 8 / WORD_BYTES;
      localparam BITS = 8 * WORD_BYTES;
      reg [63:0] parts;
      wire [2:0] index = word & (RATIO - 1);
      assign m_tdata = parts;
      assign m_tlast = ends_packet;
      assign s_tready = rst_n && (!full || m_tready);
      assign frame_given = read && ends_frame;
      genvar p;
      for (p = 0; p < RATIO; p = p + 1) begin : part
        always @(posedge clk) begin
          if (write && index == p) parts[p*BITS+:BITS] <= s_tdata;
          else if (write && index == 0) parts[p*BITS+:BITS] <= 0;
        end
      end
      always @(posedge clk) begin
        if (!rst_n) full <= 1'b0;
        else if (write) full <= final_word || index == RATIO - 1;
        else if (read) full <= 1'b0;
      end
    end else begin : wide
      localparam INDEX_BITS = $clog2(WORD_BYTES / 8);
      reg [8*WORD_BYTES-1:0] parts;
      reg [INDEX_BITS-1:0] index;
      assign m_tdata = parts[index*64+:64];
      assign m_tlast = ends_packet && &index;
      assign s_tready = rst_n && (!full || (m_tready && &index));
      assign frame_given = read && ends_frame && &index;
      always @(posedge clk) begin
        if (write) parts <= s_tdata;
        if (!rst_n) index <= 0;
        else if (read) index <= index + 1'b1;
        if (!rst_n) full <= 1'b0;
        else if (write) full <= 1'b1;
        else if (read && &index) full <= 1'b0;
      end
    end
  endgenerate
endmodule
