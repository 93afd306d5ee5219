# SPDX-License-Identifier: Apache-2.0
"""Random integer networks whose tensors have several readers and whose branches meet again."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from random_networks import convolutions, threshold, weights
from sample_networks import input_quantizer

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
    Meaning,
    Node,
    Pad,
    Reshape,
    SumPool,
    Tensor,
    Transpose,
    Upsample,
    ValueRange,
)

MULTIPLIERS = (0, 1, 1, 2, 3, -1, -1, -2, -5, 1000, -(2**20))
# Wider tensors are thresholded before they are multiplied again.
WIDEST_FACTOR = 22
LARGEST_TENSOR = 2000


class Graph:
    """A network under construction whose every tensor may be read again."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.builder = Builder()
        self.tensors: list[Tensor] = []

    def add(self, node: Node) -> None:
        self.tensors.append(self.builder.add(node))

    def step(self) -> None:
        """One more node, on any tensor, mostly a late one."""
        recent = self.tensors[-3:] if self.draw(st.booleans()) else self.tensors
        x = self.draw(st.sampled_from(recent))
        makers = [self.reshape, self.transpose, self.threshold, self.add_branches, self.concat]
        if len(x.shape) == 3:
            makers += [self.convolve, self.max_pool, self.sum_pool, self.pad, self.upsample]
        if len(x.shape) == 1:
            makers += [self.linear]
        if x.range.bits > WIDEST_FACTOR:
            makers = [self.threshold, self.max_pool if len(x.shape) == 3 else self.transpose]
        self.draw(st.sampled_from(makers))(x, f"node{len(self.tensors)}")

    def threshold(self, x: Tensor, name: str) -> None:
        count = self.draw(st.sampled_from([1, 2, 3, 15, 16, 40]))
        rows, affine_rows = (self.draw(st.sampled_from([1, x.channels])) for _ in range(2))
        self.add(threshold(self.rng, name, x, count, rows, affine_rows))

    def convolve(self, x: Tensor, name: str) -> None:
        """A layer that may shrink, or one of the input's size, fit for a residual branch."""
        if self.draw(st.booleans()):
            self.add(self.draw(convolutions(self.rng, name, x)))
        else:
            kernel = self.draw(weights(self.rng, (x.channels, x.channels, 3, 3)))
            self.add(Convolution(
                name=name, input=x.name, output=name, weights=kernel, pads=(1, 1, 1, 1),
                pad_code=self.draw(st.integers(-2, 2)),
            ))  # fmt: skip

    def linear(self, x: Tensor, name: str) -> None:
        outputs = self.draw(st.sampled_from([1, 3, x.channels]))
        matrix = self.draw(weights(self.rng, (outputs, x.channels)))
        self.add(Linear(name=name, input=x.name, output=name, weights=matrix))

    def pool(self, x: Tensor, pads_below_kernel: bool) -> dict[str, tuple[int, ...]]:
        kernel = self.draw(st.tuples(*[st.integers(1, 3)] * 2))
        most = [k - 1 if pads_below_kernel else 3 for k in (*kernel, *kernel)]
        pads = [self.draw(st.integers(0, limit)) for limit in most]
        for axis, size in enumerate(x.shape[1:]):
            pads[axis] += max(0, kernel[axis] - size - pads[axis] - pads[axis + 2])
        strides = self.draw(st.tuples(*[st.integers(1, 3)] * 2))
        return {"kernel": kernel, "strides": strides, "pads": tuple(pads)}

    def max_pool(self, x: Tensor, name: str) -> None:
        self.add(MaxPool(name=name, input=x.name, output=name, **self.pool(x, True)))

    def sum_pool(self, x: Tensor, name: str) -> None:
        self.add(SumPool(name=name, input=x.name, output=name, **self.pool(x, False)))

    def pad(self, x: Tensor, name: str) -> None:
        pads = self.draw(st.tuples(*[st.integers(0, 2)] * 4))
        code = self.draw(st.sampled_from([0, 0, 1, -3, x.range.high + 1, 2**24 + 1]))
        self.add(Pad(name=name, input=x.name, output=name, pads=pads, pad_code=code))

    def upsample(self, x: Tensor, name: str) -> None:
        factors = self.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        if math.prod(x.shape) * math.prod(factors) <= LARGEST_TENSOR:
            self.add(Upsample(name=name, input=x.name, output=name, factors=factors))

    def reshape(self, x: Tensor, name: str) -> None:
        size = math.prod(x.shape)
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        first = self.draw(st.sampled_from(divisors))
        second = self.draw(st.sampled_from([d for d in divisors if size // first % d == 0]))
        shapes = [(first, second, size // first // second), (first, size // first), (size,)]
        shape = self.draw(st.sampled_from(shapes))
        flat = len(shape) == 1 and self.draw(st.booleans())
        names = {"name": name, "input": x.name, "output": name}
        self.add(Flatten(**names) if flat else Reshape(shape=shape, **names))

    def transpose(self, x: Tensor, name: str) -> None:
        order = tuple(self.draw(st.permutations(range(len(x.shape)))))
        self.add(Transpose(name=name, input=x.name, output=name, order=order))

    def branches(self, x: Tensor, fits: list[Tensor], least: int) -> tuple[str, ...]:
        narrow = [t.name for t in fits if t.range.bits <= WIDEST_FACTOR]
        names = st.sampled_from([*narrow, x.name])
        return tuple(self.draw(st.lists(names, min_size=least, max_size=3)))

    def add_branches(self, x: Tensor, name: str) -> None:
        others = self.branches(x, [t for t in self.tensors if t.shape == x.shape], 0)
        multipliers = tuple(self.draw(st.sampled_from(MULTIPLIERS)) for _ in (x, *others))
        names = {"name": name, "input": x.name, "output": name, "others": others}
        self.add(Add(multipliers=multipliers, **names))

    def concat(self, x: Tensor, name: str) -> None:
        others = self.branches(x, [t for t in self.tensors if t.shape[1:] == x.shape[1:]], 1)
        if math.prod(x.shape) * (1 + len(others)) <= LARGEST_TENSOR:
            self.add(Concat(name=name, input=x.name, output=name, others=others))


@st.composite
def graphs(draw: st.DrawFn) -> IntegerNetwork:
    """Up to twelve operators; the last one writes the output, with a scale along any axis."""
    graph = Graph(draw)
    low = draw(st.sampled_from([0, -3, -8]))
    levels = draw(st.sampled_from([2, 4, 16]))
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    codes = ValueRange(low, low + levels - 1)
    graph.tensors.append(graph.builder.input("x", shape, codes, Fraction(1)))
    for _ in range(draw(st.integers(1, 12))):
        graph.step()
    x = graph.tensors[-1]
    if len(x.shape) == 1 and draw(st.booleans()):
        graph.add(ArgMax(name="argmax", input=x.name, output="argmax"))
        x = graph.tensors[-1]
    axis = draw(st.integers(0, len(x.shape) - 1))
    entries = draw(st.sampled_from([1, x.shape[axis]]))
    scale, offset = graph.rng.integers(-99, 99, (2, entries))
    meaning = Meaning(
        tuple(Fraction(int(n), 7) for n in scale), tuple(Fraction(int(n), 3) for n in offset), axis
    )
    if not graph.builder.nodes:
        graph.add(Flatten(name="flatten", input="x", output="flatten"))
        meaning = Meaning()
    graph.builder.set_meaning(graph.tensors[-1].name, meaning)
    quantizer = input_quantizer(levels)
    return graph.builder.network(
        name="graph",
        quantizer=type(quantizer)(quantizer.boundaries, low),
        input_name="image",
        output_name="y",
    )
