// SPDX-License-Identifier: Apache-2.0
// Takes a word of STEPS parts at a time and gives its parts one by one, lowest first.
//
//   WIDTH   bits of a part
//   STEPS   parts of a word
//
// The next word comes STEPS cycles after the last at the earliest. Parts leave from the next cycle on
// (STEPS = 1: in the same cycle). Only cycles with `enable` count.
module parallel_to_serial #(
    parameter WIDTH = 8,
    parameter STEPS = 1
) (
    input clk,
    input rst_n,
    input enable,
    input [STEPS*WIDTH-1:0] s_data,
    input s_valid,
    output [WIDTH-1:0] m_data,
    output m_valid
);
  generate
    if (STEPS == 1) begin : wires
      assign m_data  = s_data;
      assign m_valid = s_valid;
    end else begin : serial
      reg [STEPS*WIDTH-1:0] held;
      reg [$clog2(STEPS)-1:0] step;
      reg busy;
      assign m_data  = held[step*WIDTH+:WIDTH];
      assign m_valid = busy;
      always @(posedge clk) begin
        if (enable && s_valid) held <= s_data;
        if (!rst_n) busy <= 1'b0;
        else if (enable && s_valid) busy <= 1'b1;
        else if (enable && step == STEPS - 1) busy <= 1'b0;
        if (enable) step <= s_valid ? 0 : step + 1'b1;
      end
    end
  endgenerate
endmodule
