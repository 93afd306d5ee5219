# SPDX-License-Identifier: Apache-2.0
"""Random integer networks with every structure that the CPU back end knows, and inputs for them."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from sample_networks import input_quantizer

from qdeploy.integer import (
    ArgMax,
    Builder,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Meaning,
    Node,
    Plane,
    Tensor,
    Threshold,
    ValueRange,
    Weights,
)

CODES = {
    "binary": (-1, 1),
    "ternary": (-1, 1),
    "int3": (-4, 3),
    "int4": (-8, 7),
    "int8": (-128, 127),
}


def plane(
    rng: np.random.Generator, shape: tuple[int, ...], codes: str, granularity: str, bits: int = 8
) -> Plane:
    low, high = CODES[codes]
    values = rng.integers(low, high, shape, endpoint=True).astype(np.int8)
    if codes == "binary":
        values[values == 0] = 1
    else:
        values.flat[:3] = low, 0, high
    outputs, inputs, *kernel = shape
    ones = (1,) * len(kernel)
    grid = {
        "layer": (1, 1, *ones),
        "row": (1, 1, *kernel[:1], *ones[1:]),
        "pixel": (1, 1, *kernel),
        "channel": (outputs, 1, *ones),
        "kernel": (outputs, inputs, *ones),
    }[granularity]
    return Plane(values, rng.integers(0, 2**bits, grid))


def threshold(
    rng: np.random.Generator, name: str, x: Tensor, count: int, rows: int, affine_rows: int
) -> Threshold:
    """Thresholds inside, at the ends of and beyond the range of `x`; step of either sign."""
    width = x.range.high - x.range.low + 1
    values = rng.integers(x.range.low - width // 8, x.range.high + width // 8 + 2, (rows, count))
    values[:, :2] = np.array([x.range.low, x.range.high + 1])[:count]
    return Threshold(
        name=name,
        input=x.name,
        output=name,
        thresholds=np.sort(values, axis=1).astype(np.int64),
        base=rng.integers(-9, 9, affine_rows),
        step=rng.choice(np.array([-2, -1, 1, 2]), affine_rows),
    )


@st.composite
def convolutions(draw: st.DrawFn, rng: np.random.Generator, name: str, x: Tensor) -> Convolution:
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if x.channels % g == 0]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    room = (x.shape[1] + pads[0] + pads[2], x.shape[2] + pads[1] + pads[3])
    kernel = (min(kernel[0], room[0]), min(kernel[1], room[1]))
    dilations = tuple(
        draw(st.integers(1, 2)) if (k - 1) * 2 < size else 1
        for k, size in zip(kernel, room, strict=True)
    )
    shape = (groups * draw(st.integers(1, 3)), x.channels // groups, *kernel)
    return Convolution(
        name=name,
        input=x.name,
        output=name,
        weights=draw(weights(rng, shape)),
        strides=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        pads=pads,
        dilations=dilations,
        groups=groups,
        pad_code=draw(st.sampled_from([0, -1, x.range.high])),
    )


@st.composite
def weights(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    granularities = ("layer", "row", "pixel", "channel", "kernel")
    kinds = draw(st.lists(st.sampled_from(sorted(CODES)), min_size=1, max_size=3))
    if np.prod(shape) < 3:
        kinds = ["binary"]
    return Weights(
        tuple(plane(rng, shape, kind, draw(st.sampled_from(granularities))) for kind in kinds)
    )


@st.composite
def quantizers(draw: st.DrawFn, levels: int) -> InputQuantizer:
    numbers = st.floats(-3, 3, width=32) | st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1e-39])
    boundaries = draw(st.lists(numbers, min_size=levels - 1, max_size=levels - 1))
    return InputQuantizer(
        np.sort(np.array(boundaries, np.float32)),
        draw(st.sampled_from([0, -1, -8])),
        draw(st.sampled_from([1, 2])),
    )


@st.composite
def networks(draw: st.DrawFn) -> IntegerNetwork:
    """Up to two convolutions, then up to two linear layers, with everything in between."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 3, 16, 17, 40, 256]))
    quantizer = draw(quantizers(levels)) if levels < 50 else input_quantizer(levels)
    code_range = ValueRange(quantizer.low, quantizer.low + quantizer.step * (levels - 1))
    builder = Builder()
    x = builder.input("x", draw(st.tuples(*[st.integers(1, 6)] * 3)), code_range, Fraction(1))

    def maybe_threshold(name: str, x: Tensor) -> Tensor:
        counts = [0, 1, 2, 3, 15, 16, 31, 40]
        # Sums of sums would soon be wider than an accumulator may be.
        count = draw(st.sampled_from(counts if x.range.bits > 24 else [None, *counts]))
        if count is None:
            return x
        rows, affine_rows = (draw(st.sampled_from([1, x.channels])) for _ in range(2))
        return builder.add(threshold(rng, name, x, count, rows, affine_rows))

    for index in range(draw(st.integers(0, 2))):
        x = builder.add(draw(convolutions(rng, f"conv{index}", x)))
        x = maybe_threshold(f"act{index}", x)
    if min(x.shape[1:]) > 1 and draw(st.booleans()):
        kernel = draw(st.tuples(*[st.integers(1, 2)] * 2))
        strides = draw(st.tuples(*[st.integers(1, 2)] * 2))
        x = builder.add(
            MaxPool(name="pool", input=x.name, output="pool", kernel=kernel, strides=strides)
        )
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    for index in range(draw(st.integers(0, 2))):
        shape = (draw(st.integers(1, 5)), x.channels)
        linear = Linear(
            name=f"fc{index}", input=x.name, output=f"fc{index}", weights=draw(weights(rng, shape))
        )
        x = maybe_threshold(f"fc_act{index}", builder.add(linear))
    if draw(st.booleans()):
        x = builder.add(ArgMax(name="argmax", input=x.name, output="argmax"))
    channels = draw(st.sampled_from([1, x.channels]))
    meaning = Meaning(
        tuple(Fraction(int(n), 7) for n in rng.integers(-99, 99, channels)),
        tuple(Fraction(int(n), 3) for n in rng.integers(-99, 99, channels)),
    )
    builder.tensors[x.name] = Tensor(x.name, x.shape, x.range, meaning)
    return builder.network(
        name="random", quantizer=quantizer, input_name="image", output_name="logits"
    )


def one_node_network(node: Node, shape: tuple[int, ...], codes: ValueRange) -> IntegerNetwork:
    """`node` alone, reading tensor "x"; the input code is `codes.low` + the real input."""
    builder = Builder()
    builder.input("x", shape, codes, Fraction(1))
    builder.add(node)
    boundaries = np.arange(1, codes.high - codes.low + 1, dtype=np.float32)
    return builder.network(
        name="one",
        quantizer=InputQuantizer(boundaries, codes.low),
        input_name="image",
        output_name="logits",
    )


def inputs(network: IntegerNetwork, count: int, seed: int = 0) -> np.ndarray:
    """Values at, next to and away from the boundaries, infinities, both zeros."""
    rng = np.random.default_rng(seed)
    boundaries = network.quantizer.boundaries
    special = np.concatenate(
        [
            boundaries,
            np.nextafter(boundaries, np.float32(np.inf)),
            np.nextafter(boundaries, np.float32(-np.inf)),
            np.array([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf], np.float32),
            rng.uniform(-0.3, 1.3, 20).astype(np.float32),
        ]
    )
    return rng.choice(special, (count, *network.input_tensor.shape)).astype(np.float32)
