# SPDX-License-Identifier: Apache-2.0
"""Memories hold the words, those of LUTs simulated as cells and in the sites that are said."""

from pathlib import Path

import numpy as np
import pytest

from qdeploy.fpga.lut_memory import lut_memory, lut_sites
from qdeploy.fpga.memory import address_bits, memory_module
from qdeploy.simulation.driver import StreamSimulator
from qdeploy.simulation.packing import pack_words, unpack_words
from qdeploy.simulation.verilator import build_model

PRIMITIVES = Path(__file__).parents[1] / "hw" / "primitives.v"
SHAPES = [(1, 3), (2, 1), (7, 5), (32, 9), (33, 4), (64, 6), (65, 3), (130, 4), (300, 3), (1100, 2)]
MEMORIES = [(style, *shape) for style in ("distributed", "block") for shape in SHAPES]


def contents(depth: int, width: int) -> list[int]:
    rng = np.random.default_rng([depth, width])
    words = [int(word) for word in rng.integers(0, 1 << width, depth)]
    # a constant column, and two that are equal
    return [word | 1 if width < 4 else word & ~3 | 3 * (word >> 2 & 1) for word in words]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> StreamSimulator:
    """All memories side by side behind a stream of addresses, one cycle later."""
    directory = tmp_path_factory.mktemp("memories")
    modules, instances = ["`define SYNTHESIS\n"], []
    for index, (style, depth, width) in enumerate(MEMORIES):
        words = contents(depth, width)
        modules.append(memory_module(directory, f"memory_{index}", words, width, style))
        instances.append(
            f"memory_{index} m{index} (.clk(ap_clk), .enable(take), "
            f".address(in0_V_TDATA[{address_bits(depth) - 1}:0]), "
            f".data(out0_V_TDATA[{16 * index} +: {width}]));"
        )
    (directory / "top.v").write_text(
        "".join(modules)
        + f"""module top (input ap_clk, input ap_rst_n, input [15:0] in0_V_TDATA,
  input in0_V_TVALID, output in0_V_TREADY, output [{16 * len(MEMORIES) - 1}:0] out0_V_TDATA,
  output reg out0_V_TVALID, input out0_V_TREADY);
  assign in0_V_TREADY = !out0_V_TVALID || out0_V_TREADY;
  wire take = in0_V_TVALID && in0_V_TREADY;
  always @(posedge ap_clk)
    if (!ap_rst_n) out0_V_TVALID <= 0;
    else if (in0_V_TREADY) out0_V_TVALID <= in0_V_TVALID;
  {chr(10).join(instances)}
endmodule
"""
    )
    return StreamSimulator(build_model([directory / "top.v", PRIMITIVES], "top", directory))


def test_every_address_has_its_word(simulator: StreamSimulator) -> None:
    addresses = np.arange(max(depth for depth, _ in SHAPES)).reshape(-1, 1)
    result = simulator.run(pack_words(addresses, 16), len(addresses), output_stall=0.3)
    found = unpack_words(result.words, 16, len(MEMORIES), signed=False)
    for index, (style, depth, width) in enumerate(MEMORIES):
        assert found[:depth, index].tolist() == contents(depth, width), (style, depth, width)


@pytest.mark.parametrize(("depth", "width"), SHAPES)
def test_sites_are_at_most_as_said(depth: int, width: int) -> None:
    text = lut_memory(contents(depth, width), width)
    assert text.count("LUT6") <= lut_sites(depth, width)


def test_a_bit_of_72_words_takes_two_luts() -> None:
    rng = np.random.default_rng(0)
    words = [int.from_bytes(rng.bytes(32), "little") for _ in range(72)]
    assert lut_memory(words, 256).count("LUT6 #") == lut_sites(72, 256) == 512
