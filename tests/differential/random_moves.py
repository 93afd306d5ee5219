# SPDX-License-Identifier: Apache-2.0
"""Random operators that move, repeat, pad or pool values."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from random_operators import RandomOperators, Value

MAXIMUM_ELEMENTS = 160


class RandomMoves(RandomOperators):
    """Every method takes the tensor to read and returns a new one."""

    def identity(self, x: Value) -> Value:
        return replace(x, name=self.file.node(self.choice.choice(["Identity", "Dropout"]), x.name))

    def flattened(self, x: Value) -> Value:
        elements = math.prod(x.shape)
        style = self.choice.choice(["Flatten", "Reshape", "Shape"])
        if style == "Flatten":
            name = self.file.node("Flatten", x.name)
        elif style == "Reshape":
            shape = self.choice.choice([[1, -1], [1, elements], [-1, elements], [0, -1]])
            name = self.file.node("Reshape", x.name, self.file.constant(shape, np.int64))
        else:
            batch = self.file.node("Gather", self.file.node("Shape", x.name), self._index(0))
            batch = self.file.node("Unsqueeze", batch, self._index([0]))
            target = self.file.node("Concat", batch, self._index([-1]), axis=0)
            name = self.file.node("Reshape", x.name, target)
        return replace(x, name=name, shape=(elements,))

    def _index(self, values: Any) -> str:
        return self.file.constant(values, np.int64)

    def transposed(self, x: Value) -> Value:
        order = list(range(len(x.shape)))
        self.choice.shuffle(order)
        name = self.file.node("Transpose", x.name, perm=[0, *(axis + 1 for axis in order)])
        return replace(x, name=name, shape=tuple(x.shape[axis] for axis in order))

    def reshaped(self, x: Value) -> Value:
        """Neighbouring axes merged, or the first one split."""
        shape = list(x.shape)
        if len(shape) > 1 and self.maybe(0.6):
            axis = self.choice.randrange(len(shape) - 1)
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        elif len(shape) < 4 and shape[0] % 2 == 0:
            shape[0:1] = [2, shape[0] // 2]
        name = self.file.node("Reshape", x.name, self._index([1, *shape]))
        return replace(x, name=name, shape=tuple(shape))

    def squeezed(self, x: Value) -> Value:
        axes = [axis for axis, size in enumerate(x.shape) if size == 1]
        if not axes or len(x.shape) < 2:
            return x
        axis = self.choice.choice(axes)
        name = self.file.node("Squeeze", x.name, self._index([axis + 1]))
        return replace(x, name=name, shape=x.shape[:axis] + x.shape[axis + 1 :])

    def unsqueezed(self, x: Value) -> Value:
        if len(x.shape) > 3:
            return x
        axis = self.choice.randint(0, len(x.shape))
        name = self.file.node("Unsqueeze", x.name, self._index([axis + 1]))
        return replace(x, name=name, shape=(*x.shape[:axis], 1, *x.shape[axis:]))

    def max_pool(self, x: Value) -> Value:
        return self._windowed("MaxPool", x)

    def average_pool(self, x: Value) -> Value:
        return self._windowed("AveragePool", x)

    def _windowed(self, operator: str, x: Value) -> Value:
        sizes = x.shape[1:]
        if len(sizes) not in (1, 2):
            return x
        kernel = [self.choice.randint(1, min(3, n)) for n in sizes]
        strides = [self.choice.randint(1, 3) for _ in sizes]
        given: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
        if operator == "MaxPool" and self.maybe(0.2):
            given["dilations"] = [
                self.choice.choice([1, 2]) if 2 * k - 2 < n else 1
                for k, n in zip(kernel, sizes, strict=True)
            ]
        if self.maybe(0.2):
            given["auto_pad"] = self.choice.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
        elif self.maybe(0.4):
            given["pads"] = [self.choice.randint(0, k - 1) for k in kernel * 2]
        if operator == "AveragePool":
            given["count_include_pad"] = self.choice.randint(0, 1)
        if self.maybe(0.2) and "auto_pad" not in given and not given.get("count_include_pad"):
            given["ceil_mode"] = 1
        name = self.file.node(operator, x.name, **given)
        shape = self._conv_shape(x, x.shape[0], tuple(kernel), given)
        return replace(x, name=name, shape=shape)

    def global_pool(self, x: Value) -> Value:
        operator = self.choice.choice(["GlobalAveragePool", "GlobalMaxPool"])
        name = self.file.node(operator, x.name)
        return replace(x, name=name, shape=(x.shape[0], *(1,) * (len(x.shape) - 1)))

    def reduced(self, x: Value) -> Value:
        """A mean, sum or maximum over some axes."""
        operator = self.choice.choice(["ReduceMean", "ReduceSum", "ReduceMax"])
        kept = self.choice.randint(0, 1)
        first = self.choice.choice([1, 1, 0])
        axes = [axis for axis in range(first, len(x.shape)) if self.maybe(0.8)]
        if not axes or (len(axes) == len(x.shape) and not kept):
            return x
        shape = [
            1 if k in axes else size for k, size in enumerate(x.shape) if kept or k not in axes
        ]
        places = [axis + 1 for axis in axes]
        if operator == "ReduceSum":
            name = self.file.node(operator, x.name, self._index(places), keepdims=kept)
        else:
            name = self.file.node(operator, x.name, axes=places, keepdims=kept)
        return replace(x, name=name, shape=tuple(shape))

    def largest(self, x: Value) -> Value:
        """The index of the largest value along an axis."""
        axis = self.choice.randrange(len(x.shape))
        kept = 1 if len(x.shape) == 1 else self.choice.randint(0, 1)
        name = self.file.node("ArgMax", x.name, axis=axis + 1, keepdims=kept)
        shape = (*x.shape[:axis], *(1,) * kept, *x.shape[axis + 1 :])
        return replace(x, name=name, shape=shape)

    def pad(self, x: Value) -> Value:
        """Of spatial axes; cut where negative, and also of channels of one scale."""
        first = 0 if x.single and self.maybe(0.3) else 1
        lowest = -1 if min(x.shape) > 2 and self.maybe(0.3) else 0
        before, after = (
            [self.choice.randint(lowest, 2) if axis >= first else 0 for axis in range(len(x.shape))]
            for _ in range(2)
        )
        before, after = [0, *before], [0, *after]
        name = self.file.node("Pad", x.name, self._index(before + after))
        sizes = [n + a + b for n, a, b in zip(x.shape, before[1:], after[1:], strict=True)]
        return replace(x, name=name, shape=tuple(sizes))

    def upsampled(self, x: Value) -> Value:
        if math.prod(x.shape) * 4 > MAXIMUM_ELEMENTS:
            return x
        factors = [self.choice.randint(1, 2) for _ in x.shape[1:]]
        rules = [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")]
        rules += [("pytorch_half_pixel", "round_prefer_ceil"), ("tf_half_pixel_for_nn", "floor")]
        transformation, nearest = self.choice.choice(rules)
        sizes = [n * f for n, f in zip(x.shape[1:], factors, strict=True)]
        how = ["", self.file.constant([1, 1, *factors])]
        if self.maybe(0.3):
            how = ["", "", self._index([1, x.shape[0], *sizes])]
        name = self.file.node(
            "Resize",
            x.name,
            *how,
            mode="nearest",
            coordinate_transformation_mode=transformation,
            nearest_mode=nearest,
        )
        return replace(x, name=name, shape=(x.shape[0], *sizes))

    def space_to_depth(self, x: Value) -> Value:
        if any(size % 2 for size in x.shape[1:]):
            return x
        name = self.file.node("SpaceToDepth", x.name, blocksize=2)
        return replace(x, name=name, shape=(x.shape[0] * 4, x.shape[1] // 2, x.shape[2] // 2))

    def sliced(self, x: Value) -> Value:
        """A part of some axes."""
        axes = [k for k in range(len(x.shape)) if self.maybe(0.6)]
        bounds = []
        for axis in axes:
            start = self.choice.randrange(x.shape[axis])
            stop = self.choice.randint(start + 1, x.shape[axis])
            bounds.append((start, stop, self.choice.choice([1, 1, 2])))
        if not axes:
            return x
        starts, stops, steps = zip(*bounds, strict=True)
        places = [axis + 1 for axis in axes]
        inputs = [starts, stops, places, steps]
        name = self.file.node("Slice", x.name, *map(self._index, inputs))
        shape = list(x.shape)
        for axis, bound in zip(axes, bounds, strict=True):
            shape[axis] = len(range(*bound))
        return replace(x, name=name, shape=tuple(shape))

    def gathered(self, x: Value) -> Value:
        """One index of an axis, which disappears."""
        axis = self.choice.randrange(len(x.shape))
        if len(x.shape) == 1:
            return x
        index = self.choice.randrange(-x.shape[axis], x.shape[axis])
        name = self.file.node("Gather", x.name, self._index(index), axis=axis + 1)
        return replace(x, name=name, shape=x.shape[:axis] + x.shape[axis + 1 :])

    def split(self, x: Value) -> Value:
        """Two parts of the channels, which may change places."""
        if x.shape[0] < 2:
            return x
        first = self.choice.randint(1, x.shape[0] - 1)
        lengths = [first, x.shape[0] - first]
        left = self.file.node("Split", x.name, self._index(lengths), axis=1)
        right = f"{left}_right"
        self.file.nodes[-1].output.append(right)
        parts = self.choice.choice([[left, right], [right, left], [right]])
        shape = (x.shape[0] if len(parts) == 2 else lengths[1], *x.shape[1:])
        return replace(x, name=self.file.node("Concat", *parts, axis=1), shape=shape)

    def depth_to_space(self, x: Value) -> Value:
        if x.shape[0] % 4:
            x = self.quantizer(self.convolution(x, outputs=4))
        mode = self.choice.choice(["DCR", "CRD"])
        name = self.file.node("DepthToSpace", x.name, blocksize=2, mode=mode)
        return replace(x, name=name, shape=(x.shape[0] // 4, x.shape[1] * 2, x.shape[2] * 2))
