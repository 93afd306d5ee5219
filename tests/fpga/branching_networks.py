# SPDX-License-Identifier: Apache-2.0
"""Small networks whose streams fork, join, pool, repeat or stay in their channels."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from sample_networks import input_quantizer, random_threshold, random_weights

from qdeploy.integer import (
    Add,
    ArgMax,
    Builder,
    Concat,
    Convolution,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool,
    Node,
    Pad,
    Reshape,
    SumPool,
    Tensor,
    Upsample,
    ValueRange,
)


class Layers:
    """Adds layers with random contents to a builder; each call returns the new tensor."""

    def __init__(self, shape: tuple[int, ...], seed: int, levels: int = 8) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = Builder()
        self.quantizer = input_quantizer(levels)
        codes = ValueRange(0, levels - 1)
        self.x = self.builder.input("x", shape, codes, Fraction(1, levels - 1))

    def add(self, node: Node) -> Tensor:
        return self.builder.add(node)

    def act(self, name: str, x: Tensor, bits: int = 2) -> Tensor:
        return self.add(random_threshold(self.rng, name, x, bits))

    def conv(
        self, name: str, x: Tensor, channels: int, kernel: tuple[int, int] = (3, 3), **settings: int
    ) -> Tensor:
        """A convolution that keeps the size (but for its strides)."""
        top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
        groups = settings.get("groups", 1)
        weights = random_weights(self.rng, (channels, x.channels // groups, *kernel))
        pads = (top, left, kernel[0] - 1 - top, kernel[1] - 1 - left)
        return self.add(
            Convolution(
                name=name, input=x.name, output=name, weights=weights, pads=pads, **settings
            )
        )

    def sum(self, name: str, x: Tensor, y: Tensor, multipliers: tuple[int, int] = (1, 1)) -> Tensor:
        return self.add(
            Add(name=name, input=x.name, output=name, others=(y.name,), multipliers=multipliers)
        )

    def average(self, name: str, x: Tensor) -> Tensor:
        size = (x.shape[1], x.shape[2])
        return self.add(SumPool(name=name, input=x.name, output=name, kernel=size, strides=(1, 1)))

    def classify(self, x: Tensor, classes: int = 5) -> None:
        flat = self.add(Flatten(name="flatten", input=x.name, output="flatten"))
        weights = random_weights(self.rng, (classes, flat.shape[0]))
        self.add(Linear(name="fc", input="flatten", output="fc", weights=weights))

    def network(self, name: str) -> IntegerNetwork:
        return self.builder.network(
            name=name, quantizer=self.quantizer, input_name="image", output_name="logits"
        )


def residual_network(seed: int = 0) -> IntegerNetwork:
    """Two blocks, the second with stride 2 and a convolution in its shortcut."""
    net = Layers((3, 10, 8), seed)
    x = net.act("stem_act", net.conv("stem", net.x, 4))
    y = net.conv("b", net.act("a_act", net.conv("a", x, 4)), 4)
    x = net.act("first_act", net.sum("first", y, x, (1, 13)))
    y = net.act("c_act", net.conv("c", x, 6, strides=(2, 2)))
    y = net.conv("d", y, 6)
    short = net.conv("shortcut", x, 6, (1, 1), strides=(2, 2))
    x = net.act("second_act", net.sum("second", y, short, (2, -3)), 3)
    net.classify(net.average("average", x))
    return net.network("residual")


def dense_network(seed: int = 1) -> IntegerNetwork:
    """Concatenation of a signed and two unsigned streams, max pooling with padding, upsampling."""
    net = Layers((2, 6, 6), seed)
    x = net.act("a_act", net.conv("a", net.x, 4), 1)
    y = net.act("b_act", net.conv("b", x, 6), 3)
    x = net.add(Concat(name="joined", input=y.name, output="joined", others=(x.name, net.x.name)))
    x = net.add(
        MaxPool(
            name="pool",
            input=x.name,
            output="pool",
            kernel=(3, 3),
            strides=(2, 2),
            pads=(1, 1, 1, 1),
        )
    )
    x = net.add(Upsample(name="bigger", input=x.name, output="bigger", factors=(2, 3)))
    x = net.add(Pad(name="pad", input=x.name, output="pad", pads=(0, 1, 2, 0), pad_code=1))
    x = net.add(
        SumPool(
            name="sums",
            input=x.name,
            output="sums",
            kernel=(2, 2),
            strides=(2, 2),
            pads=(0, 0, 0, 1),
        )
    )
    net.conv("last", x, 3)
    return net.network("dense")


def separable_network(seed: int = 2) -> IntegerNetwork:
    """Depthwise and grouped convolutions."""
    net = Layers((4, 8, 8), seed)
    x = net.act("a_act", net.conv("a", net.x, 4, groups=4))
    x = net.act("b_act", net.conv("b", x, 6, (1, 1)))
    x = net.act("c_act", net.conv("c", x, 6, (3, 3), groups=6, strides=(2, 2)))
    x = net.act("d_act", net.conv("d", x, 8, (3, 3), groups=2))
    net.classify(net.average("average", x))
    return net.network("separable")


def signal_network(seed: int = 3) -> IntegerNetwork:
    """A 1-D CNN: convolution and pooling see the signal [C, L] as an image of height 1."""
    net = Layers((2, 24), seed)

    def reshape(name: str, x: Tensor, *shape: int) -> Tensor:
        return net.add(Reshape(name=name, input=x.name, output=name, shape=(x.channels, *shape)))

    x = net.conv("a", reshape("image", net.x, 1, 24), 4, (1, 5))
    x = net.act("a_act", reshape("signal", x, 24))
    x = reshape("second_image", x, 1, 24)
    x = net.add(MaxPool(name="pool", input=x.name, output="pool", kernel=(1, 2), strides=(1, 2)))
    x = net.act("b_act", net.conv("b", x, 6, (1, 3)))
    net.classify(net.average("average", x))
    net.add(ArgMax(name="best", input="fc", output="best"))
    return net.network("signal")


def picture_network(seed: int = 4) -> IntegerNetwork:
    """An 8-bit image with a grey border, a dilated rectangular window, depthwise signs, top 3."""
    net = Layers((3, 9, 7), seed, levels=256)
    x = net.conv("a", net.x, 4, (3, 2), pad_code=128, strides=(1, 2))
    x = net.act("a_act", x)
    x = net.conv("b", x, 4, (2, 3), groups=4, dilations=(2, 1))
    signs = random_threshold(net.rng, "b_act", x, 1)
    x = net.add(replace(signs, base=np.array([-1]), step=np.array([2])))
    x = net.act("c_act", net.conv("c", x, 6, (1, 1)), 3)
    net.classify(net.act("d_act", net.conv("d", x, 6, (3, 3), groups=6, strides=(2, 1)), 4), 7)
    net.add(ArgMax(name="best", input="fc", output="best", count=3))
    return net.network("picture")
