# SPDX-License-Identifier: Apache-2.0
"""One small network with everything that a mapping could get wrong."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from sample_networks import random_threshold, random_weights

from qdeploy.integer import (
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Plane,
    Tensor,
    Threshold,
    ValueRange,
    Weights,
)


def threshold(
    rng: np.random.Generator, name: str, x: Tensor, bits: int, base: int = 0, step: int = 1
) -> Threshold:
    """Per-channel thresholds whose every second channel counts down from the top."""
    node = random_threshold(rng, name, x, bits)
    steps = np.full(x.channels, step, np.int64)
    steps[::2] *= -1
    top = base + step * node.thresholds.shape[1]
    return replace(node, step=steps, base=np.where(steps < 0, top, base).astype(np.int64))


def awkward_network(seed: int = 0) -> IntegerNetwork:
    """Signed input, no square anywhere, strides, dilation, uneven padding, a 1x1 convolution.

    Layers are named like Verilog keywords, modules of ours, and things that are no identifiers; one
    activation is bipolar; scales are shared by rows, by pixels (one of them zero, with binary
    codes), and not shared by the outputs at all.
    """
    rng = np.random.default_rng(seed)
    builder = Builder()
    x = builder.input("x", (3, 9, 7), ValueRange(-2, 5), Fraction(1))

    def convolve(name: str, weights: Weights, **settings: tuple[int, ...]) -> Tensor:
        return builder.add(
            Convolution(name=name, input=x.name, output=name, weights=weights, **settings)
        )

    rows = random_weights(rng, (6, 3, 3, 2), "binary", "row", 4)
    x = convolve("input", rows, pads=(1, 0, 2, 1), strides=(2, 1))
    x = builder.add(threshold(rng, "case.0", x, 2, base=-2))
    codes = random_weights(rng, (10, 6, 1, 1), "ternary").planes[0].codes
    per_output = rng.integers(1, 6, (10, 1, 1, 1))
    x = convolve("features.1", Weights((Plane(codes, per_output),)))
    x = builder.add(threshold(rng, "a b", x, 1, base=-1, step=2))
    pixels = random_weights(rng, (4, 10, 2, 2), "binary", "pixel", 4).planes[0]
    pixels.multipliers.flat[2] = 0
    x = convolve("out", Weights((pixels,)), dilations=(2, 1))
    x = builder.add(threshold(rng, "2", x, 3))
    x = builder.add(
        MaxPool(name="max_pool", input=x.name, output="max_pool", kernel=(2, 2), strides=(1, 2))
    )
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    for name, width in (("wire", 6), ("fc", 9)):
        weights = random_weights(rng, (width, x.shape[0]), "ternary")
        x = builder.add(Linear(name=name, input=x.name, output=name, weights=weights))
        if name == "wire":
            x = builder.add(threshold(rng, "fifo", x, 2))
    builder.add(ArgMax(name="best", input=x.name, output="best"))
    return builder.network(
        name="awkward.net 1",
        quantizer=InputQuantizer(np.arange(7, dtype=np.float32), -2),
        input_name="i",
        output_name="o",
    )


def random_codes(network: IntegerNetwork, frames: int, seed: int = 0) -> np.ndarray:
    """Integer inputs [N, ...] over the whole input range."""
    x = network.input_tensor
    rng = np.random.default_rng(seed)
    return rng.integers(x.range.low, x.range.high + 1, (frames, *x.shape))
