// SPDX-License-Identifier: Apache-2.0
// Lets words pass in about half of the cycles if RANDOM, else in all.
module valve #(
    parameter WIDTH = 1,
    parameter RANDOM = 1,
    parameter [15:0] SEED = 1
) (
    input clk,
    input rst_n,
    input [WIDTH-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [WIDTH-1:0] m_tdata,
    output m_tvalid,
    input m_tready
);
  reg [15:0] noise;
  reg open;
  assign m_tdata  = s_tdata;
  assign m_tvalid = s_tvalid && open;
  assign s_tready = m_tready && open;
  always @(posedge clk) begin
    noise <= rst_n ? {noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]} : SEED;
    if (!m_tvalid || m_tready) open <= !RANDOM || noise[0];
  end
endmodule
