// SPDX-License-Identifier: Apache-2.0
// Product of a fixed MH x MW matrix of small integers with a stream of vectors.
//
//   MW, MH            columns (length of an input vector) and rows (length of an output vector)
//   SIMD, PE          columns and rows taken per cycle; SIMD divides MW, PE divides MH
//   INPUT_BITS        bits of an input element, two's complement if INPUT_SIGNED
//   WEIGHT_BITS       bits of a weight code: 1 is binary (0 means -1, 1 means +1), 2 is ternary
//                     (two's complement -1, 0, +1, never -2), 3 and more any two's complement
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
  localparam SF = MW / SIMD;  // words of an input vector
  localparam NF = MH / PE;  // words of an output vector
  localparam GROUP = SCALED ? GROUP_WORDS : SF;
  localparam DOT_BITS = INPUT_BITS + (WEIGHT_BITS == 2 ? 1 : WEIGHT_BITS) + $clog2(SIMD);

  // Everything stands still while a finished word finds the output register occupied.
  wire finished;
  wire go = !(finished && m_tvalid && !m_tready);

  // Stage 1: the input word and its weights.
  reg [SIMD*INPUT_BITS-1:0] word;
  reg [$clog2(SF+1)-1:0] sf;
  reg [$clog2(NF+1)-1:0] nf;
  reg [(SF*NF>1?$clog2(SF*NF):1)-1:0] address;
  wire sf_end = sf == SF - 1;
  wire nf_end = nf == NF - 1;
  wire available;
  wire issue = go && available;
  assign weight_enable  = go;
  assign weight_address = address;
  always @(posedge clk) begin
    if (!rst_n) begin
      sf <= 0;
      nf <= 0;
      address <= 0;
    end else if (issue) begin
      sf <= sf_end ? 0 : sf + 1'b1;
      if (sf_end) nf <= nf_end ? 0 : nf + 1'b1;
      address <= sf_end && nf_end ? 0 : address + 1'b1;
    end
  end

  generate
    if (NF == 1) begin : pass
      assign available = s_tvalid;
      assign s_tready  = go;
      always @(posedge clk) if (go) word <= s_tdata;
    end else begin : replay
      // A ring with room for the vector that is read NF times and the one after it.
      localparam ADDRESS_BITS = $clog2(2 * SF);
      reg [SIMD*INPUT_BITS-1:0] words[0:(1<<ADDRESS_BITS)-1];
      reg [ADDRESS_BITS:0] write_position, read_position, start;
      wire [ADDRESS_BITS:0] held = write_position - start;
      assign available = read_position != write_position;
      assign s_tready  = !held[ADDRESS_BITS];
      wire write = s_tvalid && s_tready;
      always @(posedge clk) begin
        if (write) words[write_position[ADDRESS_BITS-1:0]] <= s_tdata;
        if (go) word <= words[read_position[ADDRESS_BITS-1:0]];
        if (!rst_n) begin
          write_position <= 0;
          read_position <= 0;
          start <= 0;
        end else begin
          if (write) write_position <= write_position + 1'b1;
          if (issue) read_position <= sf_end && !nf_end ? start : read_position + 1'b1;
          if (issue && sf_end && nf_end) start <= read_position + 1'b1;
        end
      end
    end
  endgenerate

  // Stage 2: sums of products over chunks of the word. Stage 3: its dot product with each row.
  //
  // Binary and ternary weights enter as w + 1, written as a code whose ones are to be counted
  // (binary: twice). A sum of products is then a count of ones for every bit of the elements. The
  // sum of the elements, the same for every row, is taken off afterwards.
  localparam COUNTED = WEIGHT_BITS <= 2;
  localparam CHUNK = SIMD < 8 ? SIMD : 8;
  localparam CHUNKS = (SIMD + CHUNK - 1) / CHUNK;
  localparam CHUNK_BITS = CHUNK * WEIGHT_BITS;
  localparam PLANE_BITS = INPUT_BITS * CHUNK_BITS;
  localparam [WEIGHT_BITS-1:0] ONE = 1;
  localparam [CHUNK_BITS-1:0] LOWEST = {CHUNK{ONE}};  // the lowest bit of every code

  function [CHUNK_BITS-1:0] plus_one(input [CHUNK_BITS-1:0] codes);
    plus_one = WEIGHT_BITS == 1 ? codes : (~codes & ~LOWEST) | (codes & ~(codes >> 1) & LOWEST);
  endfunction

  function [7:0] ones(input [CHUNK_BITS-1:0] bits);
    integer k;
    begin
`ifdef VERILATOR
      ones = $countones(bits);  // the same, but much faster
`else
      ones = 0;
      for (k = 0; k < CHUNK_BITS; k = k + 1) ones = ones + bits[k];
`endif
    end
  endfunction

  // Sum of (ones in plane k) * 2^k, the highest plane negative for signed elements.
  function [DOT_BITS-1:0] weigh(input [PLANE_BITS-1:0] planes);
    integer k;
    reg [DOT_BITS-1:0] term;
    begin
      weigh = 0;
      for (k = 0; k < INPUT_BITS; k = k + 1) begin
        term  = ones(planes[k*CHUNK_BITS+:CHUNK_BITS]);
        weigh = INPUT_SIGNED && k == INPUT_BITS - 1 ? weigh - (term << k) : weigh + (term << k);
      end
    end
  endfunction

  function signed [DOT_BITS-1:0] product(input [INPUT_BITS-1:0] bits, input [WEIGHT_BITS-1:0] code);
    product = $signed({INPUT_SIGNED ? bits[INPUT_BITS-1] : 1'b0, bits}) * $signed(code);
  endfunction

  // Plane b of a chunk: bit b of its elements, each as often as a code has bits.
  integer b, i;
  reg [CHUNKS*PLANE_BITS-1:0] planes;
  reg [DOT_BITS-1:0] element_sum, element_sum_register;
  always @* begin
    planes = 0;
    for (i = 0; i < SIMD; i = i + 1)
      for (b = 0; b < INPUT_BITS; b = b + 1)
        planes[(i/CHUNK*INPUT_BITS+b)*CHUNK_BITS+i%CHUNK*WEIGHT_BITS+:WEIGHT_BITS] =
            {WEIGHT_BITS{word[i*INPUT_BITS+b]}};
    element_sum = 0;
    for (i = 0; i < CHUNKS; i = i + 1)
      element_sum = element_sum + weigh(planes[i*PLANE_BITS+:PLANE_BITS] & {INPUT_BITS{LOWEST}});
  end
  always @(posedge clk) if (go) element_sum_register <= element_sum;

  // Stage 4: sum over the words of a group (without scales all words of the vector are one group).
  reg [3:1] valid, group_start, group_end;
  reg [$clog2(GROUP+1)-1:0] group_word;
  wire last_of_group = group_word == GROUP - 1;
  always @(posedge clk) begin
    if (!rst_n) begin
      valid <= 0;
      group_word <= 0;
    end else if (go) begin
      valid <= {valid[2:1], issue};
      if (issue) group_word <= last_of_group ? 0 : group_word + 1'b1;
    end
    if (go) group_start <= {group_start[2:1], group_word == 0};
    if (go) group_end <= {group_end[2:1], last_of_group};
  end
  wire group_done = valid[3] && group_end[3];

  // Stage 5: that sum times the group's multiplier. Stage 6: sum over the groups.
  localparam GROUPS = SF / GROUP;
  localparam PARTIAL_BITS = SCALED ? DOT_BITS + $clog2(GROUP) : ACCUMULATOR_BITS;
  reg [MULTIPLIER_BITS-1:0] multiplier;
  reg [$clog2(GROUPS+1)-1:0] group;
  reg [5:4] scaled_valid, first_group, last_group;
  always @(posedge clk) begin
    if (!rst_n) begin
      scaled_valid <= 0;
      group <= 0;
    end else if (go) begin
      scaled_valid <= {scaled_valid[4], group_done};
      if (group_done) group <= (group == GROUPS - 1) ? 0 : group + 1'b1;
    end
    if (go) begin
      multiplier  <= MULTIPLIERS[group*MULTIPLIER_BITS+:MULTIPLIER_BITS];
      first_group <= {first_group[4], group == 0};
      last_group  <= {last_group[4], group == GROUPS - 1};
    end
  end
  assign finished = SCALED ? scaled_valid[5] && last_group[5] : group_done;

  reg output_valid;
  assign m_tvalid = output_valid;
  always @(posedge clk) begin
    if (!rst_n) output_valid <= 1'b0;
    else if (go && finished) output_valid <= 1'b1;
    else if (m_tready) output_valid <= 1'b0;
  end

  genvar p, c;
  generate
    for (p = 0; p < PE; p = p + 1) begin : row
      wire [SIMD*WEIGHT_BITS-1:0] codes = weight_data[p*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS];
      wire [CHUNKS*DOT_BITS-1:0] chunk_sums;
      for (c = 0; c < CHUNKS; c = c + 1) begin : chunk
        localparam COLUMNS = SIMD - c * CHUNK < CHUNK ? SIMD - c * CHUNK : CHUNK;
        wire [CHUNK_BITS-1:0] part = codes[c*CHUNK_BITS+:COLUMNS*WEIGHT_BITS];
        reg [DOT_BITS-1:0] sum, sum_register;
        integer k;
        always @* begin
          sum = 0;
          if (COUNTED) sum = weigh(planes[c*PLANE_BITS+:PLANE_BITS] & {INPUT_BITS{plus_one(part)}});
          else
            for (k = 0; k < COLUMNS; k = k + 1)
              sum = sum + product(word[(c*CHUNK+k)*INPUT_BITS+:INPUT_BITS],
                                  part[k*WEIGHT_BITS+:WEIGHT_BITS]);
        end
        always @(posedge clk) if (go) sum_register <= sum;
        assign chunk_sums[c*DOT_BITS+:DOT_BITS] = sum_register;
      end

      integer j;
      reg signed [DOT_BITS-1:0] total, dot;
      always @* begin
        total = 0;
        for (j = 0; j < CHUNKS; j = j + 1) total = total + chunk_sums[j*DOT_BITS+:DOT_BITS];
        if (WEIGHT_BITS == 1) total = total << 1;
        if (COUNTED) total = total - element_sum_register;
      end

      reg signed [PARTIAL_BITS-1:0] partial;
      wire signed [PARTIAL_BITS-1:0] next_partial = group_start[3] ? dot : partial + dot;
      always @(posedge clk) begin
        if (go) dot <= total;
        if (go && valid[3]) partial <= next_partial;
      end

      wire signed [ACCUMULATOR_BITS-1:0] sum;
      if (SCALED) begin : scale
        reg signed [PARTIAL_BITS+MULTIPLIER_BITS-1:0] scaled;
        reg signed [ACCUMULATOR_BITS-1:0] accumulator;
        assign sum = first_group[5] ? scaled : accumulator + scaled;
        always @(posedge clk) begin
          if (go) scaled <= partial * $signed({1'b0, multiplier});
          if (go && scaled_valid[5]) accumulator <= sum;
        end
      end else begin : no_scale
        assign sum = next_partial;
      end

      reg [ACCUMULATOR_BITS-1:0] result;
      assign m_tdata[p*ACCUMULATOR_BITS+:ACCUMULATOR_BITS] = result;
      always @(posedge clk) if (go && finished) result <= sum;
    end
  endgenerate
endmodule
