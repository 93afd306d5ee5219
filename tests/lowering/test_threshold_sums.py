# SPDX-License-Identifier: Apache-2.0
"""Sums of quantizers of one tensor are one step function: multi-bit activations."""

import numpy as np
import pytest
from comparison import compare
from qonnx_files import QonnxFile

from qdeploy.integer import Add, Threshold

RNG = np.random.default_rng(0)


def convolution(f: QonnxFile, x: str) -> str:
    """5 channels with an offset each."""
    weights = f.quant(f.constant(RNG.normal(size=(5, 3, 3, 3))), 0.5, 2, narrow=1)
    return f.node("Add", f.node("Conv", x, weights), f.constant(RNG.normal(size=(1, 5, 1, 1))))


def step(f: QonnxFile, y: str, place: float, height: float) -> str:
    """height · sign(y - place) / 2."""
    return f.bipolar(f.node("Sub", y, f.constant(place)), height / 2)


@pytest.mark.parametrize(
    ("heights", "count"), [((0.75, 0.25, 0.75), 7), ((1.0, 2.0, 0.5), 7), ((0.5, 0.5), 2)]
)
def test_a_step_is_as_many_thresholds_as_it_is_high(heights, count, tmp_path):
    f = QonnxFile((3, 5, 5))
    y = convolution(f, f.quant("x", 0.25, 3))
    total, *others = [step(f, y, *pair) for pair in zip((1.0, -1.5, 0.25), heights, strict=False)]
    for other in others:
        total = f.node("Add", total, other)
    network = compare(f.model(total, rank=4), tmp_path, samples=5)
    _, threshold = network.nodes
    assert isinstance(threshold, Threshold)
    assert threshold.thresholds.shape == (5, count)


@pytest.mark.parametrize("case", ["a falling step", "another tensor", "too many thresholds"])
def test_sums_that_stay_additions(case, tmp_path):
    f = QonnxFile((3, 5, 5))
    x = f.quant("x", 0.25, 3)
    y = convolution(f, x)
    other = convolution(f, x) if case == "another tensor" else y
    operator = "Sub" if case == "a falling step" else "Add"
    first = 254.0 if case == "too many thresholds" else 1.0
    total = f.node(operator, step(f, y, 0.5, first), step(f, other, -0.5, 3.0))
    network = compare(f.model(total, rank=4), tmp_path, samples=5)
    assert isinstance(network.nodes[-1], Add)
