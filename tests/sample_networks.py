# SPDX-License-Identifier: Apache-2.0
"""Small integer networks with random contents, for the tests of every back end."""

from fractions import Fraction

import numpy as np

from qdeploy.integer import (
    Add,
    Builder,
    Concat,
    Convolution,
    Flatten,
    InputQuantizer,
    IntegerNetwork,
    Linear,
    MaxPool,
    Meaning,
    Pad,
    Plane,
    Reshape,
    SumPool,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
    ValueRange,
    Weights,
)


def random_weights(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    codes: str = "ternary",
    granularity: str = "layer",
    multiplier_bits: int = 8,
) -> Weights:
    """One plane of binary or ternary codes with layer, row or pixel multipliers."""
    values = rng.choice([-1, 1] if codes == "binary" else [-1, 0, 1], shape).astype(np.int8)
    # Both ends occur, so that the kind of the plane is the one asked for.
    values.flat[: 2 + (codes == "ternary")] = [-1, 1] if codes == "binary" else [-1, 0, 1]
    grid = {"layer": (1, 1, 1, 1), "row": (1, 1, shape[-2], 1), "pixel": (1, 1, *shape[-2:])}
    scales = grid[granularity][: len(shape)]
    multipliers = np.ones(scales, np.int64)
    if granularity != "layer":
        multipliers = rng.integers(1, 2**multiplier_bits, scales, dtype=np.int64)
    return Weights((Plane(values, multipliers),))


def random_threshold(
    rng: np.random.Generator, name: str, x: Tensor, bits: int, per_channel: bool = True
) -> Threshold:
    """Ascending random thresholds inside the range of `x`, unsigned `bits`-bit output."""
    rows = x.channels if per_channel else 1
    spread = rng.integers(x.range.low // 4, x.range.high // 4 + 2, (rows, 2**bits - 1))
    return Threshold(
        name=name,
        input=x.name,
        output=name,
        thresholds=np.sort(spread, axis=1).astype(np.int64),
        base=np.zeros(1, np.int64),
        step=np.ones(1, np.int64),
    )


def input_quantizer(levels: int) -> InputQuantizer:
    """Rounds x in 0..1 to `levels` codes from 0 on."""
    steps = np.arange(1, levels, dtype=np.float64)
    return InputQuantizer(((steps - 0.5) / (levels - 1)).astype(np.float32), 0)


def small_cnn(
    seed: int = 0,
    codes: str = "ternary",
    granularity: str = "pixel",
    activation_bits: int = 2,
    channels: tuple[int, int, int] = (1, 4, 6),
    size: int = 8,
    classes: int = 10,
) -> IntegerNetwork:
    """conv 3x3 - threshold - conv 3x3 - threshold - max pool - flatten - linear."""
    rng = np.random.default_rng(seed)
    builder = Builder()
    x = builder.input("x", (channels[0], size, size), ValueRange(0, 16), Fraction(1, 16))
    for index in (1, 2):
        weights = random_weights(
            rng, (channels[index], channels[index - 1], 3, 3), codes, granularity
        )
        x = builder.add(
            Convolution(
                name=f"conv{index}",
                input=x.name,
                output=f"conv{index}",
                weights=weights,
                pads=(1, 1, 1, 1),
            )
        )
        x = builder.add(random_threshold(rng, f"act{index}", x, activation_bits))
    x = builder.add(
        MaxPool(name="pool", input=x.name, output="pool", kernel=(2, 2), strides=(2, 2))
    )
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    weights = random_weights(rng, (classes, x.shape[0]), codes)
    builder.add(
        Linear(name="fc", input=x.name, output="fc", weights=weights),
        Meaning((Fraction(1, 32),)),
    )
    return builder.network(
        name="small_cnn", quantizer=input_quantizer(17), input_name="image", output_name="logits"
    )


def small_mlp(
    seed: int = 0,
    codes: str = "binary",
    activation_bits: int = 2,
    widths: tuple[int, ...] = (24, 16, 8),
) -> IntegerNetwork:
    """linear - threshold - linear."""
    rng = np.random.default_rng(seed)
    builder = Builder()
    x = builder.input("x", (widths[0],), ValueRange(0, 3), Fraction(1, 3))
    for index, width in enumerate(widths[1:], start=1):
        weights = random_weights(rng, (width, x.shape[0]), codes)
        x = builder.add(
            Linear(name=f"fc{index}", input=x.name, output=f"fc{index}", weights=weights)
        )
        if index < len(widths) - 1:
            x = builder.add(random_threshold(rng, f"act{index}", x, activation_bits))
    return builder.network(
        name="small_mlp", quantizer=input_quantizer(4), input_name="x", output_name="logits"
    )


def branching_network(seed: int = 0) -> IntegerNetwork:
    """A residual block, a dense one, and every operator that joins, pools or moves integers."""
    rng = np.random.default_rng(seed)
    builder = Builder()
    x = builder.input("x", (3, 8, 8), ValueRange(0, 16), Fraction(1, 16))

    def convolve(name: str, x: Tensor, channels: int) -> Tensor:
        weights = random_weights(rng, (channels, x.channels, 3, 3), "ternary", "pixel", 3)
        pads = (1, 1, 1, 1)
        node = Convolution(name=name, input=x.name, output=name, weights=weights, pads=pads)
        act = f"{name}_act"
        return builder.add(random_threshold(rng, act, builder.add(node), 2))

    x = convolve("stem", x, 6)
    y = convolve("branch", x, 6)
    names = {"name": "residual", "input": x.name, "output": "residual"}
    y = builder.add(Add(others=(y.name,), multipliers=(3, -2), **names))
    names = {"name": "pool", "input": y.name, "output": "pool"}
    y = builder.add(MaxPool(kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), **names))
    x = convolve("deep", y, 4)
    names = {"name": "dense", "input": x.name, "output": "dense"}
    y = builder.add(Concat(others=(y.name, x.name), **names))
    names = {"name": "upsample", "input": y.name, "output": "upsample"}
    y = builder.add(Upsample(factors=(2, 2), **names))
    names = {"name": "pad", "input": y.name, "output": "pad"}
    y = builder.add(Pad(pads=(0, 1, 1, 0), pad_code=-1, **names))
    names = {"name": "average", "input": y.name, "output": "average"}
    y = builder.add(SumPool(kernel=(3, 3), strides=(3, 3), pads=(0, 0, 1, 0), **names))
    names = {"name": "last", "input": y.name, "output": "last"}
    y = builder.add(Transpose(order=(1, 2, 0), **names))
    names = {"name": "rows", "input": y.name, "output": "rows"}
    y = builder.add(Reshape(shape=(y.channels, y.shape[1] * y.shape[2]), **names))
    thirds = tuple(Fraction(n, 3) for n in range(1, y.shape[1] + 1))
    builder.set_meaning("rows", Meaning(thirds, thirds, axis=1))
    return builder.network(
        name="branching", quantizer=input_quantizer(17), input_name="image", output_name="rows"
    )
