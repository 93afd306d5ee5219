# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import InternalError
from qdeploy.simulation.driver import StreamSimulator
from qdeploy.simulation.verilator import build_model

ECHO, WITHDRAW, CHANGE, WAIT_FOR_READY, TWICE, SILENT = range(6)

# Gives every word back; the lowest three bits of the word say how it misbehaves.
FAULTY = """
module faulty (
    input ap_clk, input ap_rst_n,
    input [15:0] in0_V_TDATA, input in0_V_TVALID, output in0_V_TREADY,
    output [15:0] out0_V_TDATA, output out0_V_TVALID, input out0_V_TREADY
);
  reg [15:0] word;
  reg [1:0] left;
  wire [2:0] fault = word[2:0];
  assign in0_V_TREADY = left == 0;
  assign out0_V_TVALID = left != 0 && (fault != 3 || out0_V_TREADY);
  assign out0_V_TDATA = word;
  always @(posedge ap_clk) begin
    if (!ap_rst_n) left <= 0;
    else if (left == 0) begin
      word <= in0_V_TDATA;
      if (in0_V_TVALID) left <= in0_V_TDATA[2:0] == 4 ? 2 : in0_V_TDATA[2:0] == 5 ? 0 : 1;
    end else if (out0_V_TREADY) left <= left - 1;
    else begin
      if (fault == 1) left <= 0;
      if (fault == 2) word <= ~word;
    end
  end
endmodule
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("driver")
    source = directory / "faulty.v"
    source.write_text(FAULTY)
    return build_model([source], "faulty", directory)


def words(*faults: int) -> np.ndarray:
    values = np.arange(len(faults), dtype="<u2") * 8 + np.array(faults, "<u2")
    return values.view(np.uint8).reshape(-1, 2)


@pytest.mark.parametrize(("gap", "stall"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.5)])
def test_words_and_their_cycles(model: Path, gap: float, stall: float) -> None:
    simulator = StreamSimulator(model)
    for seed in range(3):  # a run goes on where the last one ended
        sent = words(*[ECHO] * 200)
        result = simulator.run(sent, 200, input_gap=gap, output_stall=stall, seed=seed)
        assert np.array_equal(result.words, sent)
        assert (result.output_cycles > result.input_cycles).all()
        assert (np.diff(result.input_cycles) >= 2).all()
        assert result.cycles == result.output_cycles[-1] + 1
        if gap == stall == 0.0:
            assert result.cycles == 400
        else:
            assert result.cycles > 400


def test_a_pause_lasts_a_burst_and_costs_no_more(model: Path) -> None:
    sent = words(*[ECHO] * 200)
    full = StreamSimulator(model).run(sent, 200)
    assert full.paused == 0
    for gap, stall in ((0.05, 0.0), (0.0, 0.05)):
        result = StreamSimulator(model).run(sent, 200, input_gap=gap, output_stall=stall, burst=70)
        assert np.array_equal(result.words, sent)
        taken = result.input_cycles if gap else result.output_cycles
        extra = np.diff(taken) - 2  # a word each two cycles
        lasted = extra[extra > 0]
        assert len(lasted) > 2
        assert (lasted >= 69).all()  # a pause may begin a cycle before the word could move
        assert full.cycles + lasted.sum() == result.cycles <= full.cycles + result.paused


def test_same_seed_same_cycles(model: Path) -> None:
    runs = [
        StreamSimulator(model).run(
            words(*[ECHO] * 50), 50, input_gap=0.5, output_stall=0.5, seed=seed
        )
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(runs[0].output_cycles, runs[1].output_cycles)
    assert not np.array_equal(runs[0].output_cycles, runs[2].output_cycles)


@pytest.mark.parametrize("fault", [WITHDRAW, CHANGE, WAIT_FOR_READY])
def test_broken_protocol_is_noticed(model: Path, fault: int) -> None:
    with pytest.raises(InternalError, match=r"withdrew or changed .* TREADY"):
        StreamSimulator(model).run(words(*[fault] * 50), 50, output_stall=0.5)


def test_lost_words(model: Path) -> None:
    with pytest.raises(InternalError, match="took 4 of 4 words and gave 3 of 4"):
        StreamSimulator(model).run(words(ECHO, SILENT, ECHO, ECHO), 4, max_idle_cycles=100)


def test_surplus_words(model: Path) -> None:
    with pytest.raises(InternalError, match="more than the expected 3 words"):
        StreamSimulator(model).run(words(ECHO, ECHO, TWICE), 3)


def test_words_wider_than_the_port(model: Path) -> None:
    with pytest.raises(InternalError, match="takes words of 2 bytes, not 3"):
        StreamSimulator(model).run(np.zeros((1, 3), np.uint8), 1)
