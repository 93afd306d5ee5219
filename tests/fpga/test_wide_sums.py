# SPDX-License-Identifier: Apache-2.0
"""Sums that float32 does not hold, between a layer and the thresholds behind it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from awkward_network import random_codes
from sample_networks import input_quantizer, random_threshold

from qdeploy.fpga.board import load_board
from qdeploy.fpga.folding import fold
from qdeploy.fpga.generation import generate
from qdeploy.fpga.mapping import map_network
from qdeploy.fpga.simulated import SimulatedAccelerator, build_simulator
from qdeploy.fpga.verification import verify_nodes
from qdeploy.integer import (
    Builder,
    Convolution,
    Flatten,
    IntegerNetwork,
    Integers,
    Linear,
    Plane,
    Tensor,
    ValueRange,
    Weights,
    run_codes,
)

BOARD = load_board("pynq-z2")


def network(groups: int, thresholds: Integers | None = None) -> IntegerNetwork:
    """conv 2x2 with scales per kernel position, sums of 26 bits - threshold - linear."""
    rng = np.random.default_rng(0)
    builder = Builder()
    x: Tensor = builder.input("x", (4, 4, 4), ValueRange(0, 255), Fraction(1))
    multipliers = 2 * rng.integers(1000, 1100, (1, 1, 2, 2)) + 1
    codes = rng.choice(np.array([-127, 127], np.int8), (4, 4 // groups, 2, 2))
    weights = Weights((Plane(codes, multipliers),))
    x = builder.add(
        Convolution(name="conv", input="x", output="sums", weights=weights, groups=groups)
    )
    act = random_threshold(rng, "act", x, 2)
    x = builder.add(act if thresholds is None else replace(act, thresholds=thresholds))
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    codes = rng.integers(-1, 2, (3, x.shape[0])).astype(np.int8)
    last = Weights((Plane(codes, np.ones((1, 1), np.int64)),))
    builder.add(Linear(name="fc", input=x.name, output="fc", weights=last))
    return builder.network(
        name="wide_sums", quantizer=input_quantizer(256), input_name="image", output_name="logits"
    )


@pytest.mark.parametrize("groups", [1, 4], ids=["matrix", "depthwise"])
def test_thresholds_that_are_no_float32_are_met_exactly(groups: int, tmp_path: Path) -> None:
    """Sums that occur are thresholds, or just miss them."""
    codes = random_codes(network(groups), 12)
    sums = np.sort(run_codes(network(groups), codes)["sums"].swapaxes(0, 1).reshape(4, -1))
    chosen = np.stack([sums[:, 10], sums[:, -11] + 1, sums[:, -1]], 1)
    wide = network(groups, chosen)
    assert wide.tensors["sums"].range.high > 1 << 25
    assert (chosen.astype(np.float32).astype(np.int64) != chosen).any()
    folded = fold(map_network(wide), BOARD, 1_000_000)
    verify_nodes(folded.model, wide, codes[:2])
    generate(folded.model, wide, BOARD, tmp_path)
    accelerator = SimulatedAccelerator(tmp_path, build_simulator(tmp_path, tmp_path), wide)
    expected = run_codes(wide, codes)[wide.output]
    assert np.array_equal(accelerator.run_codes(codes).outputs, expected)
