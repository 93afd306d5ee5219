// SPDX-License-Identifier: Apache-2.0
// The registers of an accelerator behind AXI4-Lite: what it is, frames in and out, and where its streams
// stand. 32 bits at these byte offsets; others read as 0, and writing them does nothing.
//
//   0x00         IDENTITY           0x51445031
//   0x04         VERSION            1, of this table
//   0x08         CONTROL            bit 0: soft reset. While it is 1, reset_n is 0
//   0x0C         STATUS             bit 0: frames are inside
//   0x10 - 0x2C  BUILD              the parameter, highest word first
//   0x30, 0x34   FRAMES_IN, _OUT    whole frames since reset
//   0x38         FRAMES_PER_PACKET  1 at first; stays in a soft reset; writing it starts a new packet
//   0x3C         STREAMS            the parameter
//   0x40         CYCLES             since reset, modulo 2^32
//   0x100 + 8 i  STALLED            cycles since reset in which stream i was valid and not ready, or the
//                                   largest number if there were more
//   0x104 + 8 i  STATE              of stream i: bit 0 valid, bit 1 ready, bit 2 moved a word since reset
//
//   STREAMS     streams observed, at least 2
//   COUNT_BITS  bits of STALLED, at least 4 more than the number of streams has
//
// Every AXI output is a register. A write is taken when its address and data are both there, a read when
// its answer is known: streams are looked at in turn, one per cycle, so a read of theirs takes up to
// STREAMS cycles longer. Each has only a counter long enough for a round; a memory holds the rest.
module register_file #(
    parameter [255:0] BUILD      = 0,
    parameter         STREAMS    = 2,
    parameter         COUNT_BITS = 32
) (
    input clk,
    input rst_n,
    input [15:0] s_axi_awaddr,
    input s_axi_awvalid,
    output reg s_axi_awready,
    input [31:0] s_axi_wdata,
    input [3:0] s_axi_wstrb,
    input s_axi_wvalid,
    output s_axi_wready,
    output [1:0] s_axi_bresp,
    output reg s_axi_bvalid,
    input s_axi_bready,
    input [15:0] s_axi_araddr,
    input s_axi_arvalid,
    output reg s_axi_arready,
    output reg [31:0] s_axi_rdata,
    output [1:0] s_axi_rresp,
    output reg s_axi_rvalid,
    input s_axi_rready,
    output reg reset_n,
    output reg [31:0] frames_per_packet,
    output reg new_packet,
    input frame_open,
    input frame_taken,
    input frame_given,
    input [STREAMS-1:0] valid,
    input [STREAMS-1:0] ready
);
  // Writes.
  wire [13:0] written = s_axi_awaddr[15:2];
  wire write_control = s_axi_awready && written == 2 && s_axi_wstrb[0];
  wire write_packet = s_axi_awready && written == 14;
  reg soft_reset;
  wire resets = write_control ? s_axi_wdata[0] : soft_reset;
  integer i;
  assign s_axi_wready = s_axi_awready;
  assign s_axi_bresp  = 2'b00;
  always @(posedge clk) begin
    if (!rst_n) begin
      s_axi_awready <= 1'b0;
      s_axi_bvalid <= 1'b0;
      soft_reset <= 1'b0;
      frames_per_packet <= 1;
    end else begin
      s_axi_awready <= s_axi_awvalid && s_axi_wvalid && !s_axi_awready
          && (!s_axi_bvalid || s_axi_bready);
      if (s_axi_awready) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
      soft_reset <= resets;
      for (i = 0; i < 4; i = i + 1) begin
        if (write_packet && s_axi_wstrb[i]) frames_per_packet[8*i+:8] <= s_axi_wdata[8*i+:8];
      end
    end
    new_packet <= write_packet;
    reset_n <= rst_n && !resets;
  end

  // Counters.
  reg [31:0] frames_in, frames_out, cycles;
  always @(posedge clk) begin
    if (!reset_n) begin
      frames_in <= 0;
      frames_out <= 0;
      cycles <= 0;
    end else begin
      if (frame_taken) frames_in <= frames_in + 1'b1;
      if (frame_given) frames_out <= frames_out + 1'b1;
      cycles <= cycles + 1'b1;
    end
  end

  // Streams. STALLED is a multiple of 2^LOW_BITS, kept in a memory, and the stream's own counter, whose
  // hexadecimal digits are shift registers that go through all states: two LUTs instead of four.
  localparam DIGITS = ($clog2(STREAMS + 1) + 3) / 4;
  localparam LOW_BITS = 4 * DIGITS;
  localparam HIGH_BITS = COUNT_BITS - LOW_BITS + 1;  // the highest bit: it is more than fits
  localparam [63:0] VALUES = 64'hcd7ea84fb6935210;  // of the states of a digit
  localparam [3:0] LAST = 8;  // the state of value 15
  wire [STREAMS*LOW_BITS-1:0] digits;
  reg [STREAMS-1:0] moved;
  genvar s, d;
  generate
    for (s = 0; s < STREAMS; s = s + 1) begin : stream
      wire [DIGITS:0] carry;
      assign carry[0] = valid[s] && !ready[s];
      always @(posedge clk) begin
        if (!reset_n) moved[s] <= 1'b0;
        else if (valid[s] && ready[s]) moved[s] <= 1'b1;
      end
      for (d = 0; d < DIGITS; d = d + 1) begin : digit
        reg [3:0] state;
        assign carry[d+1] = carry[d] && state == LAST;
        assign digits[s*LOW_BITS+4*d+:4] = state;
        always @(posedge clk) begin
          if (!reset_n) state <= 0;
          else if (carry[d]) state <= {state, state[3] ^ state[2] ^ (state[2:0] == 0)};
        end
      end
    end
  endgenerate

  reg [LOW_BITS-1:0] next, current, seen, unseen;  // unseen: streams not looked at since reset
  reg [2:0] state;
  wire [LOW_BITS-1:0] low;
  generate
    for (d = 0; d < DIGITS; d = d + 1) begin : digit
      assign low[4*d+:4] = VALUES[4*seen[4*d+:4]+:4];
    end
  endgenerate
  (* ram_style = "distributed" *) reg [HIGH_BITS+LOW_BITS-1:0] stalled[0:STREAMS-1];
  wire [HIGH_BITS+LOW_BITS-1:0] old = unseen != 0 ? 0 : stalled[current];
  wire [HIGH_BITS-1:0] old_high = old[HIGH_BITS+LOW_BITS-1:LOW_BITS];
  wire carry = low < old[LOW_BITS-1:0] && !old_high[HIGH_BITS-1];
  wire [HIGH_BITS-1:0] high = old_high + carry;
  wire [COUNT_BITS-1:0] total = high[HIGH_BITS-1] ? {COUNT_BITS{1'b1}} : {high, low};
  always @(posedge clk) begin
    if (!rst_n || next == STREAMS - 1) next <= 0;
    else next <= next + 1'b1;
    current <= next;
    state <= {reset_n && moved[next], ready[next], valid[next]};
    seen <= reset_n ? digits[next*LOW_BITS+:LOW_BITS] : 0;
    stalled[current] <= {high, low};
    if (!reset_n) unseen <= STREAMS;
    else if (unseen != 0) unseen <= unseen - 1'b1;
  end

  // Reads.
  wire [13:0] asked = s_axi_araddr[15:2];
  wire of_stream = asked >= 64 && asked < 64 + 2 * STREAMS;
  wire known = !of_stream || asked[13:1] - 32 == current;
  wire answer = s_axi_arvalid && !s_axi_arready && (!s_axi_rvalid || s_axi_rready) && known;
  reg [31:0] value;
  always @* begin
    case (asked)
      0: value = 32'h51445031;
      1: value = 1;
      2: value = soft_reset;
      3: value = frame_open || frames_in != frames_out;
      4, 5, 6, 7, 8, 9, 10, 11: value = BUILD[32*(11-asked[3:0])+:32];
      12: value = frames_in;
      13: value = frames_out;
      14: value = frames_per_packet;
      15: value = STREAMS;
      16: value = cycles;
      default: value = !of_stream ? 0 : asked[0] ? state : total;
    endcase
  end
  assign s_axi_rresp = 2'b00;
  always @(posedge clk) begin
    if (!rst_n) begin
      s_axi_arready <= 1'b0;
      s_axi_rvalid  <= 1'b0;
    end else begin
      s_axi_arready <= answer;
      if (s_axi_arready) s_axi_rvalid <= 1'b1;
      else if (s_axi_rready) s_axi_rvalid <= 1'b0;
    end
    if (answer) s_axi_rdata <= value;
  end
endmodule
