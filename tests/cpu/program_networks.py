# SPDX-License-Identifier: Apache-2.0
"""Random networks of everything that the fast form has kernels for."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from random_networks import quantizers, threshold
from sample_networks import input_quantizer

from qdeploy.integer import (
    FLOAT64_NUMERATORS,
    ROUNDED_QUOTIENT,
    Add,
    ArgMax,
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
    Quotient,
    Requantize,
    Reshape,
    Slice,
    SumPool,
    Tensor,
    Transpose,
    Upsample,
    ValueRange,
    Weights,
)

BOOKS = {
    "binary": [-1, 1],
    "ternary": [-1, 0, 1],
    "int2": [-2, -1, 0, 1],
    "int3": list(range(-4, 4)),
    "int4": list(range(-8, 8)),
    "int8": list(range(-128, 128)),
    "logarithmic": [0, *(sign * 2**k for k in range(8) for sign in (1, -1))],
    "lopsided": [3, 5],
    "constant": [-7],
}
CHANNELS = st.sampled_from([1, 2, 3, 4, 5, 8, 13, 16, 17, 32, 35, 64, 65, 70, 128])


def grids(outputs: int, inputs: int, kernel: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of multipliers, by how much of the weights each belongs to."""
    ones = (1,) * len(kernel)
    half = max(k for k in (1, 2, 3) if inputs % k == 0)
    return {
        "layer": (1, 1, *ones),
        "row": (1, 1, *kernel[:1], *ones[1:]),
        "pixel": (1, 1, *kernel),
        "channel": (outputs, 1, *ones),
        "kernel": (outputs, inputs, *ones),
        "group": (1, half, *ones),
        "channel and group": (outputs, half, *ones),
        "channel and pixel": (outputs, 1, *kernel),
    }


@st.composite
def weights(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    """One to three planes of any code book, with multipliers for any part of them."""
    possible = grids(shape[0], shape[1], shape[2:])
    planes = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        codes = rng.choice(BOOKS[draw(st.sampled_from(sorted(BOOKS)))], shape)
        grid = possible[draw(st.sampled_from(sorted(possible)))]
        high = draw(st.sampled_from([1, 3, 255]))
        planes.append(Plane(codes.astype(np.int16), rng.integers(high > 1, high + 1, grid)))
    return Weights(tuple(planes))


class RandomNetwork:
    """A network that grows operator by operator; `x` is the tensor that the next one reads."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.builder = draw, Builder()
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        levels = draw(st.sampled_from([1, 2, 3, 4, 7, 16, 17, 200, 256, 1000]))
        self.quantizer = draw(quantizers(levels)) if levels < 50 else input_quantizer(levels)
        low, step = self.quantizer.low, self.quantizer.step
        codes = ValueRange(low, low + step * (levels - 1))
        size = st.integers(1, 6)
        shape = draw(st.tuples(CHANNELS, size, size))
        self.x = self.builder.input("x", shape, codes, Fraction(1))
        self.earlier = [self.x]

    def names(self) -> dict[str, str]:
        name = f"n{len(self.builder.nodes)}"
        return {"name": name, "input": self.x.name, "output": name}

    def narrow(self) -> None:
        """Thresholds where sums might not fit 32 bits, or else where bytes hold no such inputs."""
        values = self.x.range.including(-1).including(3)
        most = self.draw(st.sampled_from([255, 255, 1 << 12]))
        if values.high - values.low > most:
            self.threshold()

    def threshold(self) -> None:
        count = self.draw(st.sampled_from([0, 1, 2, 3, 7, 15, 40, 50]))
        rows, affine_rows = (self.draw(st.sampled_from([1, self.x.channels])) for _ in range(2))
        name = self.names()["name"]
        self.x = self.builder.add(threshold(self.rng, name, self.x, count, rows, affine_rows))

    def window(self, room: tuple[int, int], most: int) -> tuple[int, int]:
        return self.draw(st.tuples(*[st.integers(1, min(most, size)) for size in room]))

    def strides(self) -> tuple[int, int]:
        return self.draw(st.tuples(*[st.sampled_from([1, 1, 2, 3])] * 2))

    def convolution(self, *, depthwise: bool = False) -> None:
        draw = self.draw
        self.narrow()
        pad_code = draw(st.sampled_from([0, 0, -1, 3, self.x.range.high]))
        pads = draw(st.sampled_from([(0,) * 4, (1,) * 4])) or (0,) * 4
        if draw(st.booleans()):
            pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
        room = (self.x.shape[1] + pads[0] + pads[2], self.x.shape[2] + pads[1] + pads[3])
        kernel = room if draw(st.integers(0, 5)) == 0 else self.window(room, 3)
        dilations = tuple(
            draw(st.integers(1, 2)) if (k - 1) * 2 < size else 1
            for k, size in zip(kernel, room, strict=True)
        )
        possible = [g for g in (1, 1, 1, 2, 3, 5, 16) if self.x.channels % g == 0]
        groups = self.x.channels if depthwise else draw(st.sampled_from(possible))
        outputs = draw(CHANNELS)
        outputs = groups if depthwise else max(1, outputs // groups) * groups
        shape = (outputs, self.x.channels // groups, *kernel)
        self.x = self.builder.add(
            Convolution(
                weights=draw(weights(self.rng, shape)),
                strides=self.strides(),
                pads=pads,
                dilations=dilations,
                groups=groups,
                pad_code=pad_code,
                **self.names(),
            )
        )

    def depthwise(self) -> None:
        self.convolution(depthwise=True)

    def max_pool(self) -> None:
        kernel = self.window(self.x.shape[1:], self.draw(st.sampled_from([3, 6])))
        pads, dilations = (0, 0, 0, 0), (1, 1)
        if self.draw(st.booleans()):
            pads = self.draw(st.tuples(*[st.integers(0, k - 1) for k in (*kernel, *kernel)]))
        elif all(2 * (k - 1) < size for k, size in zip(kernel, self.x.shape[1:], strict=True)):
            dilations = (2, 2)
        self.x = self.builder.add(
            MaxPool(
                kernel=kernel,
                strides=self.strides(),
                pads=pads,
                dilations=dilations,
                **self.names(),
            )
        )

    def sum_pool(self) -> None:
        pads = self.draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0)]))
        room = (self.x.shape[1] + pads[0] + pads[2], self.x.shape[2] + pads[1] + pads[3])
        kernel = room if self.draw(st.booleans()) else self.window(room, 3)
        names = self.names()
        self.x = self.builder.add(
            SumPool(kernel=kernel, strides=self.strides(), pads=pads, **names)
        )

    def add(self) -> None:
        fitting = [tensor for tensor in self.earlier if tensor.shape == self.x.shape]
        others = self.draw(st.lists(st.sampled_from([*fitting, self.x]), min_size=1, max_size=2))
        factors = self.draw(
            st.tuples(*[st.sampled_from([1, 1, 2, -1, -3, 0, 100])] * (1 + len(others)))
        )
        names = tuple(tensor.name for tensor in others)
        self.x = self.builder.add(Add(others=names, multipliers=factors, **self.names()))

    def wide(self) -> None:
        """Integers of more than 32 bits, and thresholds on them."""
        if self.x.range.bits > 8:
            self.threshold()
        fitting = [tensor for tensor in self.earlier if tensor.shape == self.x.shape]
        factors = (self.draw(st.sampled_from([1 << 32, -(1 << 31) - 1])), 1)
        other = self.draw(st.sampled_from([self.x, *fitting]))
        self.x = self.builder.add(Add(others=(other.name,), multipliers=factors, **self.names()))
        if self.draw(st.booleans()):
            self.earlier.append(self.x)
        self.threshold()

    def requantize(self) -> None:
        """A quotient of any rule, numerators of any size."""
        bits = self.draw(st.integers(1, 59)) - self.x.range.bits - 1
        most = 1 << max(1, bits)
        rows = self.draw(st.sampled_from([1, self.x.channels]))
        p, q = (self.rng.integers(-most, most, rows) for _ in range(2))
        reach = most * max(abs(self.x.range.low), abs(self.x.range.high), 1)
        d = self.rng.integers(
            1, max(2, min(reach, self.draw(st.sampled_from([2, 8, reach])))), rows
        )
        low = self.rng.integers(-5000, 1, rows)
        high = low + self.draw(st.sampled_from([0, 100, 5000]))
        rounding = self.draw(st.sampled_from(sorted(ROUNDED_QUOTIENT)))
        if 2 * reach + most >= FLOAT64_NUMERATORS:
            rounding = "FLOOR"  # as the portable form
        quotient = Quotient(p, q, d, low, high, rounding)
        self.x = self.builder.add(Requantize(quotient=quotient, **self.names()))

    def many_levels(self) -> None:
        """Thresholds of more levels than a byte holds."""
        count = self.draw(st.sampled_from([256, 300, 1023]))
        rows, affine_rows = (self.draw(st.sampled_from([1, self.x.channels])) for _ in range(2))
        name = self.names()["name"]
        self.x = self.builder.add(threshold(self.rng, name, self.x, count, rows, affine_rows))

    def concat(self) -> None:
        fitting = [tensor for tensor in self.earlier if tensor.shape[1:] == self.x.shape[1:]]
        others = self.draw(st.lists(st.sampled_from([*fitting, self.x]), min_size=1, max_size=2))
        names = tuple(tensor.name for tensor in others)
        self.x = self.builder.add(Concat(others=names, **self.names()))

    def pad(self) -> None:
        pads = self.draw(st.tuples(*[st.integers(0, 2)] * 4))
        code = self.draw(st.sampled_from([0, -5, self.x.range.low]))
        self.x = self.builder.add(Pad(pads=pads, pad_code=code, **self.names()))

    def upsample(self) -> None:
        factors = self.draw(st.tuples(*[st.integers(1, 2)] * 2))
        self.x = self.builder.add(Upsample(factors=factors, **self.names()))

    def slice(self) -> None:
        starts = [self.draw(st.integers(0, size - 1)) for size in self.x.shape]
        stops = [
            self.draw(st.integers(start + 1, size))
            for start, size in zip(starts, self.x.shape, strict=True)
        ]
        steps = [self.draw(st.integers(1, 2)) for _ in starts]
        self.x = self.builder.add(
            Slice(starts=tuple(starts), stops=tuple(stops), steps=tuple(steps), **self.names())
        )

    def transpose(self) -> None:
        order = tuple(self.draw(st.permutations(range(len(self.x.shape)))))
        self.x = self.builder.add(Transpose(order=order, **self.names()))

    def reshape(self) -> None:
        a, b, c = self.x.shape
        shape = self.draw(st.sampled_from([(c, a, b), (a, c, b), (1, a, b * c), (a * b, 1, c)]))
        self.x = self.builder.add(Reshape(shape=shape, **self.names()))

    def vector(self) -> None:
        """To a vector, or another rank, and fully connected layers."""
        kind = self.draw(st.sampled_from([Flatten, Reshape]))
        shape = {"shape": (int(np.prod(self.x.shape)),)} if kind is Reshape else {}
        self.x = self.builder.add(kind(**shape, **self.names()))
        for _ in range(self.draw(st.integers(0, 2))):
            self.narrow()
            shape = (self.draw(CHANNELS), self.x.channels)
            linear = Linear(weights=self.draw(weights(self.rng, shape)), **self.names())
            self.x = self.builder.add(linear)

    def arg_max(self) -> None:
        count = self.draw(st.integers(1, min(3, self.x.channels)))
        self.x = self.builder.add(ArgMax(count=count, **self.names()))

    def rank(self) -> None:
        """A tensor of two or four axes."""
        a, *others = self.x.shape
        shape = self.draw(st.sampled_from([(a, int(np.prod(others))), (a, 1, *others)]))
        self.x = self.builder.add(Reshape(shape=shape, **self.names()))

    def network(self) -> IntegerNetwork:
        shape = self.x.shape
        meaning = Meaning()
        kind = self.draw(st.sampled_from(["one", "channels", "axis", "block"]))
        count = {"one": 1, "channels": shape[0], "axis": shape[-1], "block": 5}[kind]
        parts = [
            tuple(Fraction(int(n), 7) for n in self.rng.integers(-99, 99, count)) for _ in range(2)
        ]
        axis = len(shape) - 1 if kind == "axis" else 0
        block = self.rng.integers(0, 5, shape) if kind == "block" else None
        meaning = Meaning(parts[0], parts[1], axis, block)
        self.builder.tensors[self.x.name] = Tensor(self.x.name, shape, self.x.range, meaning)
        return self.builder.network(
            name="random", quantizer=self.quantizer, input_name="image", output_name="logits"
        )


MIDDLE = (
    "convolution",
    "depthwise",
    "threshold",
    "max_pool",
    "sum_pool",
    "add",
    "concat",
    "pad",
    "upsample",
    "slice",
    "transpose",
    "reshape",
    "requantize",
    "many_levels",
)


@st.composite
def program_networks(
    draw: st.DrawFn, kinds: tuple[str, ...] = MIDDLE, most: int = 4
) -> IntegerNetwork:
    """Up to `most` of `kinds`, then perhaps a vector, another rank or a choice."""
    network = RandomNetwork(draw)
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most)):
        if network.x.range.bits > 24 or np.prod(network.x.shape) > 4000:
            network.threshold()
        if np.prod(network.x.shape) < 4000:
            getattr(network, kind)()
        network.earlier.append(network.x)
    for kind in draw(st.sampled_from([[], [], ["vector"], ["arg_max"], ["rank"]])):
        getattr(network, kind)()
    return network.network()


@st.composite
def matrix_networks(draw: st.DrawFn, book: str) -> IntegerNetwork:
    """A convolution or fully connected layer of many inputs, codes of 1 to 8 bits, perhaps levels.

    All weights of some outputs are of one sign, so that sums reach the ends of their range.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.integers(1, 8))
    levels = 2**bits - draw(st.sampled_from([0, 0, 1]))
    low, step = draw(st.sampled_from([(0, 1), (-(2 ** (bits - 1)), 1), (1 - 2**bits, 2)]))
    builder = Builder()
    codes = ValueRange(low, low + step * (levels - 1))
    size = draw(st.sampled_from([1, 1, 5]))
    channels = draw(st.sampled_from([64, 100, 257] if size > 1 else [100, 512, 1000, 3001]))
    builder.input("x", (channels, size, size), codes, Fraction(1))
    kernel = min(size, 3)
    shape = (draw(st.sampled_from([1, 10, 33, 130])), channels, kernel, kernel)
    values = rng.choice(BOOKS[book], shape)
    values[0], values[-1] = max(BOOKS[book]), min(BOOKS[book])
    grids = [(1, 1, 1, 1), (shape[0], 1, 1, 1), (1, 1, kernel, kernel)]
    high = draw(st.sampled_from([1, 1, 255]))
    multipliers = rng.integers(1, high + 1, draw(st.sampled_from(grids)))
    x = builder.add(
        Convolution(
            name="conv",
            input="x",
            output="conv",
            weights=Weights((Plane(values.astype(np.int16), multipliers),)),
            pads=draw(st.sampled_from([(0,) * 4, (1,) * 4])),
            pad_code=draw(st.sampled_from([0, low] if bits < 8 else [low])),
        )
    )
    if draw(st.booleans()):
        count = draw(st.sampled_from([1, 3, 15, 255]))
        builder.add(threshold(rng, "act", x, count, x.channels, 1))
    boundaries = np.arange(levels - 1, dtype=np.float32)
    return builder.network(
        name="matrix",
        quantizer=InputQuantizer(boundaries, low, step),
        input_name="image",
        output_name="logits",
    )


def partial_network(output_function: str = "") -> IntegerNetwork:
    """Convolutions around a sum of more than 32 bits, a branch past it, and then many codes."""
    rng, builder = np.random.default_rng(0), Builder()
    x = builder.input("x", (3, 6, 6), ValueRange(0, 16), Fraction(1))
    for name, channels in (("conv1", 20), ("conv2", 20)):
        shape = (channels, x.channels, 3, 3)
        plane = Plane(rng.choice([-1, 0, 1], shape).astype(np.int8), np.ones((1,) * 4, np.int64))
        node = {"weights": Weights((plane,)), "pads": (1,) * 4}
        x = builder.add(Convolution(name=name, input=x.name, output=name, **node))
        x = builder.add(threshold(rng, f"{name}_act", x, 3, x.channels, 1))
        if name == "conv1":
            first, names = x, {"name": "wide", "input": x.name, "output": "wide"}
            x = builder.add(Add(others=(x.name,), multipliers=(1 << 40, 1), **names))
            x = builder.add(threshold(rng, "wide_act", x, 15, 1, 1))
    names = {"name": "sum", "input": first.name, "output": "sum"}
    x = builder.add(Add(others=(x.name,), multipliers=(3, 1), **names))
    quotient = Quotient(*(np.full(1, n) for n in (37, 5, 2, -400, 400)), "HALF_EVEN")
    names = {"name": "codes", "input": x.name, "output": "codes"}
    x = builder.add(Requantize(quotient=quotient, **names))
    x = builder.add(Flatten(name="flatten", input=x.name, output="flatten"))
    plane = Plane(rng.choice([-1, 1], (10, x.channels)).astype(np.int8), np.ones((1, 1), np.int64))
    fc = Linear(name="fc", input=x.name, output="fc", weights=Weights((plane,)))
    builder.add(fc, Meaning((Fraction(1, 50),)))
    network = builder.network(
        name="partial", quantizer=input_quantizer(17), input_name="image", output_name="logits"
    )
    return replace(network, output_function=output_function)
