// SPDX-License-Identifier: Apache-2.0
// Product of a fixed MH x MW matrix with a stream of vectors: everything around `dot_products`.
//
//   MW, MH            columns (length of an input vector) and rows (length of an output vector)
//   SIMD, PE          columns and rows taken per cycle; SIMD divides MW, PE divides MH
//   ELEMENT_BITS      bits of an input element
//   PLANES            code tensors that are summed; each sees the whole vector
//   SUM_BITS          bits of a sum of `dot_products`
//   LATENCY           of `dot_products` and what is in front of it
//   GROUPS            weights of a row that share a scale form a group; groups of a row, over all
//                     planes, each the same number of words
//   MULTIPLIER_BITS   bits of a scale; 0: no scales, GROUPS = 1
//   PER_ROW           1: every row has scales of its own
//   LANES             rows that leave per cycle; divides PE, PE / LANES <= words of a row block
//   SCALE_LANES       multipliers: PE, or LANES if PE / LANES <= words of a group
//   TOTAL_BITS        bits of a sum after scaling (SUM_BITS without scales), unsigned
//   STEPS, GAIN, OUTPUT_BITS, BASE   what `row_output` makes of it
//
// A vector arrives as MW / SIMD words and leaves as MH / LANES words, first elements first.
// Around it go (all in the generated module of a layer; memories are read synchronously, data is the
// word at the address of the cycle before):
//   dot_products      takes `elements`, `enable`, `first` and the weight memory's word as codes
//   weight memory     words in the order row block, plane, word of the vector (outermost first)
//   multiplier memory see `group_scale`; words per row block only if PER_ROW
//   element_scale     or, in front of `dot_products`, scales of the elements; they are read at
//                     `place`: plane and, in the lowest $clog2(MW / SIMD) bits, word of the vector
//   row memory        see `row_output`
//
// II = (MW / SIMD) * PLANES * (MH / PE) cycles per vector. Words of the next vector are taken while
// one is computed, as far as there is room. Nothing stalls behind the issue of a word: it waits until
// the output queue has room for what it leads to.
module matrix_vector_unit #(
    parameter MW = 1,
    parameter MH = 1,
    parameter SIMD = 1,
    parameter PE = 1,
    parameter ELEMENT_BITS = 1,
    parameter PLANES = 1,
    parameter SUM_BITS = 8,
    parameter LATENCY = 2,
    parameter GROUPS = 1,
    parameter MULTIPLIER_BITS = 0,
    parameter PER_ROW = 0,
    parameter LANES = PE,
    parameter SCALE_LANES = LANES,
    parameter TOTAL_BITS = SUM_BITS,
    parameter STEPS = 1,
    parameter GAIN = 0,
    parameter OUTPUT_BITS = 1,
    parameter integer BASE = 0,
    // derived
    parameter SF = MW / SIMD,
    parameter NF = MH / PE,
    parameter G = PE / LANES,
    parameter WEIGHT_WORDS = SF * PLANES * NF,
    parameter SCALE_STEPS = PE / SCALE_LANES,
    parameter SCALE_WORDS = PER_ROW ? NF * GROUPS * SCALE_STEPS : GROUPS,
    parameter WEIGHT_ADDRESS_BITS = WEIGHT_WORDS > 1 ? $clog2(WEIGHT_WORDS) : 1,
    parameter PLACE_BITS = SF * PLANES > 1 ? $clog2(SF) + $clog2(PLANES) : 1,
    parameter SCALE_ADDRESS_BITS = SCALE_WORDS > 1 ? $clog2(SCALE_WORDS) : 1,
    parameter SCALE_BITS = MULTIPLIER_BITS ? (PER_ROW ? SCALE_LANES : 1) * MULTIPLIER_BITS : 1,
    parameter COUNT_BITS = STEPS ? $clog2(STEPS + 1) : 1,
    parameter ROW_SLOTS = STEPS ? LANES * COUNT_BITS : 1,
    parameter ROW_SLOT_BITS = (NF * G > 1 ? $clog2(NF * G) : 1) + (STEPS ? COUNT_BITS : 0),
    parameter ROW_BITS = STEPS ? ROW_SLOTS * TOTAL_BITS : LANES * OUTPUT_BITS
) (
    input clk,
    input rst_n,
    input [SIMD*ELEMENT_BITS-1:0] s_tdata,
    input s_tvalid,
    output s_tready,
    output [LANES*OUTPUT_BITS-1:0] m_tdata,
    output m_tvalid,
    input m_tready,
    output reg [SIMD*ELEMENT_BITS-1:0] elements,
    output enable,
    output first,
    input [PE*SUM_BITS-1:0] sums,
    output [WEIGHT_ADDRESS_BITS-1:0] weight_address,
    output [PLACE_BITS-1:0] place,
    output [SCALE_ADDRESS_BITS-1:0] multiplier_address,
    input [SCALE_BITS-1:0] multiplier_data,
    output [ROW_SLOTS*ROW_SLOT_BITS-1:0] row_address,
    input [ROW_BITS-1:0] row_data
);
  localparam GROUP_WORDS = SF * PLANES / GROUPS;
  localparam DEPTH = LATENCY + 1;  // from the issue of a word to its `enable`

  // Issue of words: counters of words, planes and row blocks.
  reg [$clog2(SF+1)-1:0] sf;
  reg [$clog2(PLANES+1)-1:0] plane;
  reg [$clog2(NF+1)-1:0] nf;
  reg [WEIGHT_ADDRESS_BITS-1:0] address;
  reg credit;
  wire available;
  wire vector_end = SF == 1 || sf == SF - 1;
  wire block_end = vector_end && (PLANES == 1 || plane == PLANES - 1);
  wire last_block = NF == 1 || nf == NF - 1;
  wire last_plane = PLANES == 1 || plane == PLANES - 1;
  wire group_end;
  wire issue = available && (credit || !block_end);
  assign weight_address = address;
  assign place = (plane << $clog2(SF)) + sf;
  always @(posedge clk) begin
    if (!rst_n) begin
      sf <= 0;
      plane <= 0;
      nf <= 0;
      address <= 0;
    end else if (issue) begin
      sf <= vector_end ? 0 : sf + 1'b1;
      if (vector_end) plane <= last_plane ? 0 : plane + 1'b1;
      if (block_end) nf <= last_block ? 0 : nf + 1'b1;
      address <= block_end && last_block ? 0 : address + 1'b1;
    end
  end

  generate
    if (GROUPS == 1) begin : one_group
      assign group_end = block_end;
    end else if (GROUP_WORDS == 1) begin : words_are_groups
      assign group_end = 1'b1;
    end else begin : group_counter
      reg [$clog2(GROUP_WORDS)-1:0] word;
      assign group_end = word == GROUP_WORDS - 1;
      always @(posedge clk)
        if (!rst_n) word <= 0;
        else if (issue) word <= group_end ? 0 : word + 1'b1;
    end
    if (NF == 1 && PLANES == 1) begin : pass
      assign available = s_tvalid;
      assign s_tready  = credit || !block_end;
      always @(posedge clk) elements <= s_tdata;
    end else begin : replay
      // A ring that holds the vector which is read again and again. In the last round its words make
      // room for the next vector.
      localparam RING_BITS = $clog2(SF + 1) < 5 ? 5 : $clog2(SF + 1);
      (* ram_style = "distributed" *)
      reg [SIMD*ELEMENT_BITS-1:0] words[0:(1<<RING_BITS)-1];
      reg [RING_BITS:0] write_position, read_position, start;
      wire [RING_BITS:0] held = write_position - start;
      wire last_round = last_block && last_plane;
      wire write = s_tvalid && s_tready;
      assign available = read_position != write_position;
      assign s_tready  = !held[RING_BITS];
      always @(posedge clk) begin
        if (write) words[write_position[RING_BITS-1:0]] <= s_tdata;
        elements <= words[read_position[RING_BITS-1:0]];
        if (!rst_n) begin
          write_position <= 0;
          read_position <= 0;
          start <= 0;
        end else begin
          if (write) write_position <= write_position + 1'b1;
          if (issue) read_position <= vector_end && !last_round ? start : read_position + 1'b1;
          if (issue && last_round) start <= read_position + 1'b1;
        end
      end
    end
  endgenerate

  // Sums of groups.
  reg [DEPTH:1] valid, starts, ends;
  reg sum_valid, group_start;
  assign enable = valid[DEPTH];
  assign first  = starts[DEPTH];
  wire [DEPTH+1:1] valid_next = {valid, issue};
  wire [DEPTH+1:1] starts_next = {starts, group_start};
  wire [DEPTH+1:1] ends_next = {ends, group_end};
  always @(posedge clk) begin
    if (!rst_n) group_start <= 1'b1;
    else if (issue) group_start <= group_end;
    starts <= starts_next[DEPTH:1];
    ends <= ends_next[DEPTH:1];
    valid <= rst_n ? valid_next[DEPTH:1] : 0;
    sum_valid <= rst_n && valid[DEPTH] && ends[DEPTH];
  end

  // Totals of LANES rows per cycle: serialized before or behind the multipliers.
  wire [LANES*TOTAL_BITS-1:0] totals;
  wire totals_valid;
  generate
    if (MULTIPLIER_BITS > 0) begin : scales
      wire [SCALE_LANES*SUM_BITS-1:0] factors;
      wire [SCALE_LANES*TOTAL_BITS-1:0] scaled;
      wire factors_valid, scaled_valid;
      parallel_to_serial #(
          .WIDTH(SCALE_LANES * SUM_BITS),
          .STEPS(SCALE_STEPS)
      ) serial_sums (
          .clk(clk),
          .rst_n(rst_n),
          .enable(1'b1),
          .s_data(sums),
          .s_valid(sum_valid),
          .m_data(factors),
          .m_valid(factors_valid)
      );
      group_scale #(
          .LANES(SCALE_LANES),
          .STEPS(SCALE_STEPS),
          .GROUPS(GROUPS),
          .SUM_BITS(SUM_BITS),
          .MULTIPLIER_BITS(MULTIPLIER_BITS),
          .TOTAL_BITS(TOTAL_BITS),
          .PER_ROW(PER_ROW),
          .ADDRESSES(SCALE_WORDS)
      ) scale (
          .clk(clk),
          .rst_n(rst_n),
          .s_data(factors),
          .s_valid(factors_valid),
          .m_data(scaled),
          .m_valid(scaled_valid),
          .multiplier_address(multiplier_address),
          .multiplier_data(multiplier_data)
      );
      parallel_to_serial #(
          .WIDTH(LANES * TOTAL_BITS),
          .STEPS(SCALE_LANES / LANES)
      ) serial_totals (
          .clk(clk),
          .rst_n(rst_n),
          .enable(1'b1),
          .s_data(scaled),
          .s_valid(scaled_valid),
          .m_data(totals),
          .m_valid(totals_valid)
      );
    end else begin : no_scales
      assign multiplier_address = 0;
      parallel_to_serial #(
          .WIDTH(LANES * TOTAL_BITS),
          .STEPS(G)
      ) serial_sums (
          .clk(clk),
          .rst_n(rst_n),
          .enable(1'b1),
          .s_data(sums),
          .s_valid(sum_valid),
          .m_data(totals),
          .m_valid(totals_valid)
      );
    end
  endgenerate

  wire [LANES*OUTPUT_BITS-1:0] outputs;
  wire outputs_valid;
  row_output #(
      .LANES(LANES),
      .SUM_BITS(TOTAL_BITS),
      .STEPS(STEPS),
      .GAIN(GAIN),
      .OUTPUT_BITS(OUTPUT_BITS),
      .BASE(BASE),
      .WORDS(NF * G)
  ) output_stage (
      .clk(clk),
      .rst_n(rst_n),
      .enable(1'b1),
      .s_data(totals),
      .s_valid(totals_valid),
      .m_data(outputs),
      .m_valid(outputs_valid),
      .row_address(row_address),
      .row_data(row_data)
  );

  // The queue takes every output; credits are counted in row blocks. There are as many as can be
  // under way, so that none waits for a credit while outputs are taken.
  localparam WAY = LATENCY + COUNT_BITS + G + (MULTIPLIER_BITS > 0 ? 10 : 7);
  localparam NEEDED = (WAY + SF * PLANES - 1) / (SF * PLANES);
  localparam BLOCKS = NEEDED < 2 ? 2 : NEEDED;
  reg [$clog2(BLOCKS+1)-1:0] used;
  reg [$clog2(G+1)-1:0] taken;
  wire take = m_tvalid && m_tready;
  wire block_taken = take && (G == 1 || taken == G - 1);
  wire [$clog2(BLOCKS+1)-1:0] used_next = used + (issue && block_end) - block_taken;
  always @(posedge clk) begin
    if (!rst_n) begin
      used   <= 0;
      taken  <= 0;
      credit <= 1'b1;
    end else begin
      used   <= used_next;
      credit <= used_next < BLOCKS;
      if (take) taken <= (G == 1 || taken == G - 1) ? 0 : taken + 1'b1;
    end
  end

  fifo #(
      .WIDTH(LANES * OUTPUT_BITS),
      .DEPTH(BLOCKS * G)
  ) queue (
      .clk(clk),
      .rst_n(rst_n),
      .s_tdata(outputs),
      .s_tvalid(outputs_valid),
      .s_tready(),
      .m_tdata(m_tdata),
      .m_tvalid(m_tvalid),
      .m_tready(m_tready),
      .count()
  );
endmodule
