// SPDX-License-Identifier: Apache-2.0
// Product of a fixed MH x MW matrix of small integers with a stream of vectors.
//
//   MW, MH            columns (length of an input vector) and rows (length of an output vector)
//   SIMD, PE          columns and rows taken per cycle; SIMD divides MW, PE divides MH
//   INPUT_BITS        bits of an input element, two's complement if INPUT_SIGNED
//   WEIGHT_BITS       bits of a weight code: 1 is binary (0 means -1, 1 means +1), otherwise two's
//                     complement
//   ACCUMULATOR_BITS  bits of an output element, two's complement: enough for every sum
//   SCALED            1: the columns are split into groups of GROUP_WORDS input words; the sum of
//                     group g is multiplied by the unsigned number in bits
//                     [g * MULTIPLIER_BITS +: MULTIPLIER_BITS] of MULTIPLIERS
//
// A vector arrives as MW / SIMD words and leaves as MH / PE words, first elements first.
// Weights come from a memory outside, read synchronously: weight_data is the word at the
// weight_address of the last cycle with weight_enable. Word nf * (MW / SIMD) + sf holds, at element
// p * SIMD + s, the weight of row nf * PE + p and column sf * SIMD + s.
//
// II = (MW / SIMD) * (MH / PE) cycles per vector. The next vector is taken while one is computed.
module matrix_vector_unit #(
    parameter MW = 1,
    parameter MH = 1,
    parameter SIMD = 1,
    parameter PE = 1,
    parameter INPUT_BITS = 1,
    parameter INPUT_SIGNED = 0,
    parameter WEIGHT_BITS = 1,
    parameter ACCUMULATOR_BITS = 8,
    parameter SCALED = 0,
    parameter GROUP_WORDS = MW / SIMD,
    parameter MULTIPLIER_BITS = 1,
    parameter [MW/SIMD/GROUP_WORDS*MULTIPLIER_BITS-1:0] MULTIPLIERS = 0
) (
    input clk,
    input rst_n,
    input [SIMD*INPUT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [PE*ACCUMULATOR_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output weight_enable,
    output [(MW/SIMD*(MH/PE)>1?$clog2(MW/SIMD*(MH/PE)):1)-1:0] weight_address,
    input [PE*SIMD*WEIGHT_BITS-1:0] weight_data
);
endmodule
