# SPDX-License-Identifier: Apache-2.0
"""The resource model against results of Yosys that are not in its fit."""

import json
from pathlib import Path

import pytest

from qdeploy.fpga.resources import Cost, cost, operators
from qdeploy.fpga.resources.memories import block_memory

SAMPLES = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "resource_samples.json").read_text()
)
HELD_OUT = 3


@pytest.mark.parametrize("operator", operators())
def test_luts_and_flip_flops_are_near_those_of_yosys(operator: str) -> None:
    held_out = SAMPLES[operator][::HELD_OUT]
    predicted = [cost(operator, sample["parameters"]) for sample in held_out]
    for name in ("lut", "ff"):
        error = sum(
            abs(getattr(p, name) - s[name]) / max(1, s[name])
            for p, s in zip(predicted, held_out, strict=True)
        )
        assert error / len(held_out) < 0.1, name


@pytest.mark.parametrize("operator", operators())
def test_block_rams_and_dsp_slices_are_those_of_yosys(operator: str) -> None:
    found = [cost(operator, sample["parameters"]) for sample in SAMPLES[operator]]
    differences = [
        (s["bram36"], s["dsp"], p)
        for p, s in zip(found, SAMPLES[operator], strict=True)
        if (p.bram36, p.dsp) != (s["bram36"], s["dsp"])
    ]
    assert len(differences) <= len(found) // 8, differences


@pytest.mark.parametrize(
    ("width", "depth", "expected"),
    [
        (36, 512, 0.5),
        (72, 512, 1),
        (37, 512, 1),
        (1, 16384, 0.5),
        (1, 16385, 0.5),
        (1, 18433, 1),
        (9, 2048, 0.5),
        (64, 4096, 7.5),
        (128, 36, 2),
        (144, 600, 4),
        # What Yosys makes of weights of CNV.
        (96, 3072, 8),
        (24, 24576, 16),
        (8, 32768, 7.5),
    ],
)
def test_block_rams_of_a_memory(width: int, depth: int, expected: float) -> None:
    assert block_memory(width, depth).bram36 == expected


def test_costs_add_up() -> None:
    assert Cost(1, 2, 0.5, 3).plus(Cost(10, 20, 1, 0)) == Cost(11, 22, 1.5, 3)
