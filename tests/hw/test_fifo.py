# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from operator_bench import GAPS, RTL, Bench, Variant, build_bench, random_elements

from qdeploy.errors import InternalError

# Counts by itself what is inside, and spoils the output if `count` differs.
CHECKED_FIFO = """
module checked_fifo #(parameter WIDTH = 1, parameter DEPTH = 2, parameter STYLE = "auto") (
    input clk, input rst_n,
    input [WIDTH-1:0] s_tdata, input s_tvalid, output s_tready,
    output [WIDTH-1:0] m_tdata, output m_tvalid, input m_tready
);
  wire [WIDTH-1:0] word;
  wire [$clog2(DEPTH+1)-1:0] count;
  integer inside_it;
  always @(posedge clk)
    if (!rst_n) inside_it <= 0;
    else inside_it <= inside_it + (s_tvalid && s_tready) - (m_tvalid && m_tready);
  assign m_tdata = inside_it == count ? word : ~word;
  fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH), .STYLE(STYLE)) fifo (
      .clk(clk), .rst_n(rst_n), .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready),
      .m_tdata(word), .m_tvalid(m_tvalid), .m_tready(m_tready), .count(count)
  );
endmodule
"""

VARIANTS = [
    Variant(
        "checked_fifo",
        {"WIDTH": width, "DEPTH": depth, "STYLE": f'"{style}"'},
        (1, width),
        (1, width),
    )
    for width, depth, style in (
        (9, 2, "auto"),
        (5, 3, "auto"),
        (33, 4, "distributed"),
        (1, 7, "shift"),
        (8, 32, "distributed"),
        (3, 33, "shift"),
        (6, 24, "block"),
        (4, 16, "block"),
        (5, 5, "distributed"),
    )
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    directory = tmp_path_factory.mktemp("fifo")
    checked = directory / "checked_fifo.v"
    checked.write_text(CHECKED_FIFO)
    return build_bench(directory, VARIANTS, checked, RTL / "fifo.v")


@pytest.mark.parametrize("gaps", [*GAPS, (0.4, 0.6), (0.6, 0.4)])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_words_leave_in_order(bench: Bench, variant: Variant, gaps: tuple[float, float]) -> None:
    words = random_elements(np.random.default_rng(0), 500, *variant.inputs, signed=False)
    bench.check(variant, words, words, gaps)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_holds_depth_words(bench: Bench, variant: Variant) -> None:
    words = np.zeros((50, 1), np.int64)
    with pytest.raises(InternalError, match=f"took {variant.parameters['DEPTH']} of 50"):
        bench.run(variant, words, 50, gaps=(0.0, 1.0))
