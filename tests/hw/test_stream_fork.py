# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

VALVE = Path(__file__).parent / "valve.v"

# Readers of different paces; what they get leaves side by side.
FORKED = """
module forked #(parameter WIDTH = 1, parameter COPIES = 2, parameter RANDOM = 0) (
    input clk, input rst_n,
    input [WIDTH-1:0] s_tdata, input s_tvalid, output s_tready,
    output [COPIES*WIDTH-1:0] m_tdata, output m_tvalid, input m_tready
);
  wire [COPIES*WIDTH-1:0] data;
  wire [COPIES-1:0] valid, ready, waiting;
  stream_fork #(.WIDTH(WIDTH), .COPIES(COPIES)) fork_ (
      .clk(clk), .rst_n(rst_n), .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready),
      .m_tdata(data), .m_tvalid(valid), .m_tready(ready)
  );
  assign m_tvalid = &waiting;
  genvar i;
  generate
    for (i = 0; i < COPIES; i = i + 1) begin : reader
      wire [WIDTH-1:0] word;
      wire some, taken;
      valve #(.WIDTH(WIDTH), .RANDOM(RANDOM), .SEED(1 + 77 * i)) valve (
          .clk(clk), .rst_n(rst_n), .s_tdata(data[i*WIDTH+:WIDTH]), .s_tvalid(valid[i]),
          .s_tready(ready[i]), .m_tdata(word), .m_tvalid(some), .m_tready(taken)
      );
      fifo #(.WIDTH(WIDTH), .DEPTH(4 + i)) fifo (
          .clk(clk), .rst_n(rst_n), .s_tdata(word), .s_tvalid(some), .s_tready(taken),
          .m_tdata(m_tdata[i*WIDTH+:WIDTH]), .m_tvalid(waiting[i]),
          .m_tready(m_tready && m_tvalid), .count()
      );
    end
  endgenerate
endmodule
"""

VARIANTS = [
    Variant(
        "forked", {"WIDTH": width, "COPIES": copies, "RANDOM": valves}, (1, width), (copies, width)
    )
    for width, copies, valves in ((5, 2, 0), (3, 3, 0), (5, 2, 1), (7, 4, 1))
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("stream_fork")
    forked = directory / "forked.v"
    forked.write_text(FORKED)
    return build_bench(directory, VARIANTS, forked, VALVE, RTL / "stream_fork.v", RTL / "fifo.v")


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_reader_gets_every_word_once(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    words = random_elements(np.random.default_rng(8), 300, *variant.inputs, signed=False)
    expected = np.repeat(words, variant.outputs[0], axis=1)
    if variant.parameters["RANDOM"]:
        out, _ = bench.run(variant, words, len(words), gaps)
        assert np.array_equal(out, expected)
    else:
        bench.check(variant, words, expected, gaps)
