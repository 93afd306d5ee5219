// SPDX-License-Identifier: Apache-2.0
// What AXI4-Stream asks of frame_input and frame_output, whatever happens at their other ends.
module frame_rules #(
    parameter WIDTH      = 8,
    parameter WORD_BYTES = 1,
    parameter WORDS      = 1
) (
    input clk,
    input rst_n,
    input [63:0] beat,
    input beat_valid,
    input word_ready,
    input [WIDTH-1:0] word,
    input word_valid,
    input beat_ready,
    input [31:0] frames_per_packet,
    input new_packet
);
  wire [WIDTH-1:0] word_out;
  wire [63:0] beat_out;
  wire takes_beat, takes_word, gives_beat, gives_word, last;
  frame_input #(.WIDTH(WIDTH), .WORD_BYTES(WORD_BYTES), .WORDS(WORDS)) words (
      .clk(clk),
      .rst_n(rst_n),
      .s_tdata(beat),
      .s_tvalid(beat_valid),
      .s_tready(takes_beat),
      .m_tdata(word_out),
      .m_tvalid(gives_word),
      .m_tready(word_ready),
      .frame_open(),
      .frame_taken()
  );
  frame_output #(.WIDTH(WIDTH), .WORD_BYTES(WORD_BYTES), .WORDS(WORDS)) beats (
      .clk(clk),
      .rst_n(rst_n),
      .s_tdata(word),
      .s_tvalid(word_valid),
      .s_tready(takes_word),
      .m_tdata(beat_out),
      .m_tvalid(gives_beat),
      .m_tlast(last),
      .m_tready(beat_ready),
      .frames_per_packet(frames_per_packet),
      .new_packet(new_packet),
      .frame_given()
  );

  // One cycle ago: offered and not taken.
  reg started = 1'b0;
  reg ran, beat_waited, word_waited;
  reg [WIDTH-1:0] last_word;
  reg [64:0] last_beat;
  always @(posedge clk) begin
    started <= 1'b1;
    ran <= rst_n;
    beat_waited <= gives_beat && !beat_ready;
    word_waited <= gives_word && !word_ready;
    last_word <= word_out;
    last_beat <= {last, beat_out};
  end
  always @* begin
    if (!started) assume (!rst_n);
    if (!rst_n) assert (!takes_beat && !takes_word);
    if (started && ran) begin
      if (beat_waited) assert (gives_beat && {last, beat_out} == last_beat);
      if (word_waited) assert (gives_word && word_out == last_word);
    end
    if (started && !ran) assert (!gives_beat && !gives_word);
  end
endmodule
