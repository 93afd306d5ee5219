# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

VALVE = Path(__file__).parent / "valve.v"
WIDTH = 6

# The lowest bits of a word say which stream it belongs to.
CONCATENATED = """
module concatenated #(
    parameter INPUTS = 2, parameter COUNT_BITS = 1, parameter [INPUTS*COUNT_BITS-1:0] WORDS = 0,
    parameter RANDOM = 0
) (
    input clk, input rst_n,
    input [11:0] s_tdata, input s_tvalid, output s_tready,
    output [5:0] m_tdata, output m_tvalid, input m_tready
);
  wire [INPUTS-1:0] ready, valid, taken;
  wire [INPUTS*6-1:0] words;
  assign s_tready = ready[s_tdata[2:0]];
  genvar i;
  generate
    for (i = 0; i < INPUTS; i = i + 1) begin : stream
      wire [5:0] word;
      wire some, next;
      fifo #(.WIDTH(6), .DEPTH(40)) fifo (
          .clk(clk), .rst_n(rst_n), .s_tdata(s_tdata[11:6]),
          .s_tvalid(s_tvalid && s_tdata[2:0] == i), .s_tready(ready[i]),
          .m_tdata(word), .m_tvalid(some), .m_tready(next), .count()
      );
      valve #(.WIDTH(6), .RANDOM(RANDOM), .SEED(9 + 33 * i)) valve (
          .clk(clk), .rst_n(rst_n), .s_tdata(word), .s_tvalid(some), .s_tready(next),
          .m_tdata(words[i*6+:6]), .m_tvalid(valid[i]), .m_tready(taken[i])
      );
    end
  endgenerate
  stream_concat #(.WIDTH(6), .INPUTS(INPUTS), .COUNT_BITS(COUNT_BITS), .WORDS(WORDS)) concat (
      .clk(clk), .rst_n(rst_n), .s_tdata(words), .s_tvalid(valid), .s_tready(taken),
      .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready)
  );
endmodule
"""

COUNTS = [((1, 1), 0), ((3, 2), 0), ((1, 7, 2), 1), ((4,), 0), ((2, 1, 1, 5), 1)]
VARIANTS = [
    Variant(
        "concatenated",
        {
            "INPUTS": len(counts),
            "COUNT_BITS": 3,
            "WORDS": f"{3 * len(counts)}'o{''.join(map(str, reversed(counts)))}",
            "RANDOM": valves,
        },
        (2, WIDTH),
        (1, WIDTH),
        rate=(sum(counts), sum(counts)),
    )
    for counts, valves in COUNTS
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("stream_concat")
    concatenated = directory / "concatenated.v"
    concatenated.write_text(CONCATENATED)
    sources = (concatenated, VALVE, RTL / "stream_concat.v", RTL / "fifo.v")
    return build_bench(directory, VARIANTS, *sources)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_pixels_behind_each_other(
    bench: Bench, variant: Variant, gaps: tuple[float, float]
) -> None:
    counts, _ = COUNTS[VARIANTS.index(variant)]
    generator = np.random.default_rng(10)
    pixels = 40
    words = random_elements(generator, pixels * sum(counts), 1, WIDTH, signed=False)
    streams = np.tile(np.repeat(np.arange(len(counts)), counts), pixels)
    # Streams overtake each other inside groups of two pixels; each keeps its own order.
    order = np.concatenate(
        [
            start + np.argsort(generator.permutation(len(counts))[part], kind="stable")
            for start, part in _groups(streams, 2 * sum(counts))
        ]
    )
    if gaps == (0.0, 0.0):
        order = np.arange(len(words))
    fed = np.column_stack([streams, words[:, 0]])[order]
    if variant.parameters["RANDOM"]:
        out, _ = bench.run(variant, fed, len(words), gaps)
        assert np.array_equal(out, words)
    else:
        bench.check(variant, fed, words, gaps)


def _groups(streams: np.ndarray, size: int) -> list[tuple[int, np.ndarray]]:
    return [(start, streams[start : start + size]) for start in range(0, len(streams), size)]
