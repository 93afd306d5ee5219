# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

VALVE = Path(__file__).parent / "valve.v"

# Both streams come from one: a word holds one word of each, which arrive apart from each other.
ADDED = """
module added #(
    parameter INPUTS = 2, parameter PE = 1, parameter INPUT_BITS = 1, parameter INPUT_SIGNED = 0,
    parameter MULTIPLIER_BITS = 2, parameter [INPUTS*MULTIPLIER_BITS-1:0] MULTIPLIERS = 0,
    parameter OUTPUT_BITS = 1, parameter RANDOM = 0
) (
    input clk, input rst_n,
    input [INPUTS*PE*INPUT_BITS-1:0] s_tdata, input s_tvalid, output s_tready,
    output [PE*OUTPUT_BITS-1:0] m_tdata, output m_tvalid, input m_tready
);
  localparam WIDTH = PE * INPUT_BITS;
  wire [INPUTS*INPUTS*WIDTH-1:0] copies;
  wire [INPUTS*WIDTH-1:0] words;
  wire [INPUTS-1:0] valid, ready, word_valid, word_ready;
  stream_fork #(.WIDTH(INPUTS * WIDTH), .COPIES(INPUTS)) fork_ (
      .clk(clk), .rst_n(rst_n), .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready),
      .m_tdata(copies), .m_tvalid(valid), .m_tready(ready)
  );
  genvar i;
  generate
    for (i = 0; i < INPUTS; i = i + 1) begin : branch
      valve #(.WIDTH(WIDTH), .RANDOM(RANDOM), .SEED(3 + 55 * i)) valve (
          .clk(clk), .rst_n(rst_n), .s_tdata(copies[(i*INPUTS+i)*WIDTH+:WIDTH]),
          .s_tvalid(valid[i]), .s_tready(ready[i]), .m_tdata(words[i*WIDTH+:WIDTH]),
          .m_tvalid(word_valid[i]), .m_tready(word_ready[i])
      );
    end
  endgenerate
  stream_add #(
      .INPUTS(INPUTS), .PE(PE), .INPUT_BITS(INPUT_BITS), .INPUT_SIGNED(INPUT_SIGNED),
      .MULTIPLIER_BITS(MULTIPLIER_BITS), .MULTIPLIERS(MULTIPLIERS), .OUTPUT_BITS(OUTPUT_BITS)
  ) add (
      .clk(clk), .rst_n(rst_n), .s_tdata(words), .s_tvalid(word_valid), .s_tready(word_ready),
      .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready)
  );
endmodule
"""


@dataclass(frozen=True)
class Adder:
    """A `stream_add` behind a fork, and its multipliers."""

    variant: Variant
    multipliers: tuple[int, ...]


def adder(
    pe: int, bits: int, multipliers: tuple[int, ...], *, signed: bool = False, random: bool = False
) -> Adder:
    largest = 1 << (bits - signed)
    output_bits = int(sum(map(abs, multipliers)) * largest).bit_length() + 1
    multiplier_bits = max(abs(m) for m in multipliers).bit_length() + 1
    packed = sum(
        (m % (1 << multiplier_bits)) << (i * multiplier_bits) for i, m in enumerate(multipliers)
    )
    inputs = len(multipliers)
    variant = Variant(
        "added",
        {
            "INPUTS": inputs,
            "PE": pe,
            "INPUT_BITS": bits,
            "INPUT_SIGNED": int(signed),
            "MULTIPLIER_BITS": multiplier_bits,
            "MULTIPLIERS": f"{inputs * multiplier_bits}'h{packed:x}",
            "OUTPUT_BITS": output_bits,
            "RANDOM": int(random),
        },
        (inputs * pe, bits),
        (pe, output_bits),
        signed=True,
    )
    return Adder(variant, multipliers)


ADDERS = [
    adder(2, 2, (1, 1)),
    adder(3, 5, (3, -2), signed=True),
    adder(1, 4, (1, -1, 7)),
    adder(4, 3, (1, 1), signed=True, random=True),
    adder(2, 8, (-128, 5), signed=True, random=True),
    adder(2, 1, (9,)),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("stream_add")
    added = directory / "added.v"
    added.write_text(ADDED)
    sources = (added, VALVE, RTL / "stream_fork.v", RTL / "stream_add.v")
    return build_bench(directory, [a.variant for a in ADDERS], *sources)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("adder", ADDERS, ids=lambda adder: str(adder.variant))
def test_weighted_sum_of_the_streams(bench: Bench, adder: Adder, gaps: tuple[float, float]) -> None:
    variant, words = adder.variant, 300
    signed = bool(variant.parameters["INPUT_SIGNED"])
    elements = random_elements(np.random.default_rng(9), words, *variant.inputs, signed=signed)
    streams = elements.reshape(words, len(adder.multipliers), -1)
    expected = (streams * np.array(adder.multipliers)[:, None]).sum(axis=1)
    if variant.parameters["RANDOM"]:
        out, _ = bench.run(variant, elements, words, gaps)
        assert np.array_equal(out, expected)
    else:
        bench.check(variant, elements, expected, gaps)
