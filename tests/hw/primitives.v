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

// With the registers that its parameters name, clocks always enabled and no resets (UG479): D - A
// times B, plus C or PCIN, which INMODE and OPMODE must say.
module DSP48E1 #(
    parameter USE_DPORT = "FALSE",
    parameter integer AREG = 1, parameter integer ACASCREG = 1, parameter integer DREG = 1,
    parameter integer ADREG = 1, parameter integer BREG = 1, parameter integer BCASCREG = 1,
    parameter integer CREG = 1, parameter integer MREG = 1, parameter integer PREG = 1,
    parameter integer INMODEREG = 1, parameter integer OPMODEREG = 1,
    parameter integer ALUMODEREG = 1, parameter integer CARRYINREG = 1,
    parameter integer CARRYINSELREG = 1
) (
    input CLK, input [29:0] A, input [17:0] B, input [47:0] C, input [24:0] D, input [47:0] PCIN,
    input [4:0] INMODE, input [6:0] OPMODE, input [3:0] ALUMODE, input [2:0] CARRYINSEL,
    input [29:0] ACIN, input [17:0] BCIN, input CARRYIN, input CARRYCASCIN, input MULTSIGNIN,
    input CEA1, input CEA2, input CEAD, input CEB1, input CEB2, input CEC, input CED, input CEM,
    input CEP, input CECTRL, input CEINMODE, input CEALUMODE, input CECARRYIN,
    input RSTA, input RSTB, input RSTC, input RSTD, input RSTM, input RSTP, input RSTCTRL,
    input RSTINMODE, input RSTALUMODE, input RSTALLCARRYIN,
    output [47:0] P, output [47:0] PCOUT
);
  reg signed [24:0] held_a, held_d, difference;
  reg signed [17:0] held_b, b;
  wire signed [24:0] a = AREG ? held_a : A[24:0];
  wire signed [24:0] d = DREG ? held_d : D;
  reg signed [47:0] product, sum;
  wire signed [24:0] next_difference = d - a;
  wire signed [47:0] wide_difference = difference;
  wire signed [47:0] wide_factor = b;
  assign P = sum;
  assign PCOUT = sum;
  wire enabled = &{CEA1, CEA2, CEAD, CEB1, CEB2, CED, CEM, CEP};
  wire reset = |{RSTA, RSTB, RSTD, RSTM, RSTP};
  initial
    if (USE_DPORT != "TRUE" || AREG > 1 || DREG != AREG || ADREG != 1 || BREG != AREG + 1 || CREG != 0
        || MREG != 1 || PREG != 1 || INMODEREG != 0 || OPMODEREG != 0 || ALUMODEREG != 0)
      $fatal(1, "these registers are not modelled");
  always @(posedge CLK) begin
    if (INMODE != 5'b01100 || ALUMODE != 0 || CARRYIN || CARRYINSEL != 0 || !enabled || reset
        || (OPMODE != 7'b0110101 && OPMODE != 7'b0010101))
      $fatal(1, "this mode is not modelled");
    held_a <= A[24:0];
    held_d <= D;
    held_b <= B;
    difference <= next_difference;
    b <= BREG == 2 ? held_b : B;
    product <= wide_difference * wide_factor;
    sum <= product + (OPMODE[5] ? C : PCIN);
  end
endmodule
