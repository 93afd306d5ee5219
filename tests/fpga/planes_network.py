# SPDX-License-Identifier: Apache-2.0
"""A small network whose weights are sums of planes with scales of their own."""

from fractions import Fraction

import numpy as np
from sample_networks import input_quantizer, random_threshold, random_weights

from qdeploy.integer import (
    Builder,
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    Plane,
    ValueRange,
    Weights,
)


def planes_network(seed: int = 4) -> IntegerNetwork:
    """Three planes whose outputs have scales of their own, two with pixel scales, two with one."""
    rng = np.random.default_rng(seed)

    def weights(shape: tuple[int, ...], kinds: str, *scales: tuple[int, ...]) -> Weights:
        """One plane per letter (binary, ternary) and shape of the multipliers."""
        names = {"b": "binary", "t": "ternary"}
        codes = (random_weights(rng, shape, names[kind]).planes[0].codes for kind in kinds)
        planes = zip(codes, scales, strict=True)
        return Weights(tuple(Plane(c, rng.integers(0, 13, scale)) for c, scale in planes))

    builder = Builder()
    x = builder.input("x", (2, 7, 6), ValueRange(0, 7), Fraction(1, 7))
    for name, channels, kinds, scales in (
        ("a", 6, "btb", [(6, 1, 1, 1)] * 3),
        ("b", 4, "tb", [(1, 1, 3, 3), (1, 1, 3, 1)]),
    ):
        codes = weights((channels, x.channels, 3, 3), kinds, *scales)
        conv = Convolution(name=name, input=x.name, output=name, weights=codes, pads=(1, 1, 1, 1))
        x = builder.add(random_threshold(rng, f"{name}_act", builder.add(conv), 2))
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    codes = weights((5, x.shape[0]), "bb", (1, 1), (1, 1))
    builder.add(Linear(name="fc", input=x.name, output="fc", weights=codes))
    return builder.network(
        name="planes", quantizer=input_quantizer(8), input_name="image", output_name="logits"
    )
