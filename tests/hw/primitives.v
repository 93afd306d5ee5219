// SPDX-License-Identifier: Apache-2.0
// What the cells of the generated structures do (UG953), for simulation.

module LUT6 #(parameter [63:0] INIT = 0) (
    input I0, input I1, input I2, input I3, input I4, input I5, output O
);
  assign O = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module LUT6_2 #(parameter [63:0] INIT = 0) (
    input I0, input I1, input I2, input I3, input I4, input I5, output O5, output O6
);
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule

module MUXF7 (input I0, input I1, input S, output O);
  assign O = S ? I1 : I0;
endmodule

module MUXF8 (input I0, input I1, input S, output O);
  assign O = S ? I1 : I0;
endmodule

// Carry k + 1 is carry k where S selects it, otherwise the data input.
module CARRY4 (
    input CI, input CYINIT, input [3:0] DI, input [3:0] S, output [3:0] O, output [3:0] CO
);
  wire c0 = CI | CYINIT;
  wire c1 = S[0] ? c0 : DI[0];
  wire c2 = S[1] ? c1 : DI[1];
  wire c3 = S[2] ? c2 : DI[2];
  wire c4 = S[3] ? c3 : DI[3];
  assign CO = {c4, c3, c2, c1};
  assign O  = S ^ {c3, c2, c1, c0};
endmodule

module FDRE (input C, input CE, input R, input D, output reg Q);
  always @(posedge C)
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
endmodule
