# SPDX-License-Identifier: Apache-2.0
"""Random low-bit QONNX graphs: chains and branches of every operator that lowering knows.

All choices of structure come from one `random.Random`, so that hypothesis can shrink them and a
seed can repeat them; tensor contents come from a numpy generator seeded by it.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from qonnx_files import QonnxFile

ROUNDING = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]
ROUNDING += ["ROUND_TO_ZERO"]
MAXIMUM_ELEMENTS = 160


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name, its shape without the batch axis, and what it holds.

    `single`: multiples of one scale, as a quantizer leaves them (what a layer may read);
    `rectified`: behind a Relu that the next quantizer has to absorb.
    """

    name: str
    shape: tuple[int, ...]
    single: bool = True
    rectified: bool = False


class RandomGraph:
    """One graph under construction."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.rng = np.random.default_rng(choice.randrange(1 << 32))
        rank = choice.choice([1, 2, 3, 3, 3, 3])
        shape = (choice.randint(1, 4), *(choice.randint(1, 7) for _ in range(rank - 1)))
        self.file = QonnxFile(shape)

    def build(self) -> onnx.ModelProto:
        """Real input, its quantizer, one to four blocks."""
        x = Value("x", tuple(self.file.input_shape))
        if self.maybe(0.3):
            x = self._input_scaling(x)
        if self.maybe(0.1):
            x = self._flattened(x)
        x = self.quantizer(x, activation=True)
        for _ in range(self.choice.randint(1, 4)):
            x = self._block(x)
        if not {"Conv", "Gemm", "MatMul"} & {node.op_type for node in self.file.nodes}:
            x = self._linear_block(x)
        if not x.rectified and self.maybe(0.2):
            x = self._elementwise(x)
        if x.rectified:
            x = self.quantizer(x)
        elif x.single and len(x.shape) == 1 and self.maybe(0.2):
            x = replace(x, name=self.file.node("ArgMax", x.name, axis=1), shape=(1,))
        model = self.file.model(x.name, rank=len(x.shape) + 1)
        if self.maybe(0.3):
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        return model

    def maybe(self, probability: float) -> bool:
        return self.choice.randrange(100) < 100 * probability

    # Blocks: from a quantized tensor to one that the next block may read.

    def _block(self, x: Value) -> Value:
        if x.rectified or not x.single and self.maybe(0.7):
            x = self.quantizer(x)
        blocks: list[Callable[[Value], Value]] = [self._linear_block] * 4
        blocks += [self._residual, self._concatenation, self._rearranged, self._pooled]
        return self.choice.choice(blocks)(x)

    def _linear_block(self, x: Value) -> Value:
        x = self._linear(x)
        for _ in range(self.choice.randint(0, 2)):
            x = self._elementwise(x)
        if self.maybe(0.3):
            x = self._max_pool(x)
        if self.maybe(0.4):
            x = self._rising(x)
            if self.maybe(0.2):
                x = self._max_pool(x)
            if self.maybe(0.2):
                x = self._flattened(x)
        if x.rectified or self.maybe(0.8):
            x = self.quantizer(x)
        return x

    def _rising(self, x: Value) -> Value:
        """A non-decreasing function, which only moves the boundaries of the next quantizer."""
        operator = self.choice.choice(["Relu", "Relu", "Clip", "LeakyRelu"])
        if operator == "Relu":
            name = self.file.node("Relu", x.name)
        elif operator == "Clip":
            limits = [self.file.constant(np.float32(v)) for v in np.sort(self._reals(2))]
            name = self.file.node("Clip", x.name, *self.choice.choice([limits, limits[:1]]))
        else:
            name = self.file.node("LeakyRelu", x.name, alpha=self.choice.choice([0.1, 0.25, 2.0]))
        if self.maybe(0.2):
            name = self.file.node("Mul", name, self.file.constant(self._dyadic()))
        return replace(x, name=name, single=False, rectified=True)

    def _residual(self, x: Value) -> Value:
        """Two branches of equal shape and of scales with a small ratio, added."""
        scale = self._dyadic()
        left = self._branch(x)
        right = self.choice.choice([x, left, self._branch(x)])
        if left.shape != right.shape:
            return left
        left = self.quantizer(left, scale=scale)
        right = self.quantizer(right, scale=scale * self.choice.choice([1, 1, 2, 0.25, 3]))
        operator = self.choice.choice(["Add", "Add", "Sub"])
        return Value(self.file.node(operator, left.name, right.name), left.shape)

    def _concatenation(self, x: Value) -> Value:
        scale = self._dyadic()
        count = self.choice.randint(2, 3)
        parts = [self._branch(x) for _ in range(count)]
        parts = [part for part in parts if part.shape[1:] == parts[0].shape[1:]]
        parts = [
            self.quantizer(part, scale=scale * self.choice.choice([1, 1, 1, 2])) for part in parts
        ]
        name = self.file.node("Concat", *(part.name for part in parts), axis=1)
        return Value(name, (sum(p.shape[0] for p in parts), *parts[0].shape[1:]))

    def _branch(self, x: Value) -> Value:
        """A convolution that keeps the picture's size, or a square layer, or nothing."""
        if self.maybe(0.3):
            return x
        if len(x.shape) == 3:
            return self._convolution(x, same=True)
        return self._linear(x) if len(x.shape) == 1 else x

    def _rearranged(self, x: Value) -> Value:
        """One of the operators that only move, repeat or pad values."""
        moves = [self._flattened, self._identity, self._transposed, self._reshaped]
        moves += [self._squeezed, self._unsqueezed]
        if len(x.shape) == 3:
            moves += [self._pad, self._upsampled, self._depth_to_space]
        return self.choice.choice(moves)(x)

    def _pooled(self, x: Value) -> Value:
        if len(x.shape) < 2:
            return self._linear_block(x)
        if len(x.shape) > 3:
            return self._linear_block(x)
        pools = [self._max_pool, self._average_pool, self._global_average, self._mean]
        return self.choice.choice(pools)(x)

    # Operators.

    def quantizer(self, x: Value, scale: float | None = None, activation: bool = False) -> Value:
        scale_given = scale is not None
        if scale is None:
            scale = (
                self._dyadic() if self.maybe(0.7) else float(np.float32(self.rng.uniform(0.1, 2)))
            )
        if not activation and self.maybe(0.15):
            return replace(x, name=self.file.bipolar(x.name, scale), single=True, rectified=False)
        bits = self.choice.choice([1, 2, 2, 3, 4, 5, 8])
        single = activation or scale_given or not self.maybe(0.1)
        scales: Any = scale
        if not single:
            scales = scale * self.rng.integers(1, 6, (x.shape[0], *(1,) * (len(x.shape) - 1)))
        name = self.file.quant(
            x.name,
            scales,
            bits,
            signed=self.choice.randint(0, 1),
            narrow=self.choice.randint(0, 1) if bits > 1 else 0,
            zero_point=self.choice.choice([0, 0, 0, 0, 0, 1, -1, 0.5]),
            rounding=self.choice.choice(ROUNDING) if self.maybe(0.5) else "ROUND",
        )
        return replace(x, name=name, single=single, rectified=False)

    def _dyadic(self) -> float:
        return self.choice.choice([0.125, 0.25, 0.5, 0.75, 1.0, 2.0])

    def _linear(self, x: Value) -> Value:
        if len(x.shape) == 1:
            return self._fully_connected(x)
        if len(x.shape) > 3 or self.maybe(0.15):
            return self._product(x)
        return (
            self._convolution(x) if self.maybe(0.75) else self._fully_connected(self._flattened(x))
        )

    def _convolution(self, x: Value, same: bool = False, outputs: int = 0) -> Value:
        axes, channels = len(x.shape) - 1, x.shape[0]
        groups = self.choice.choice([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
        if outputs:
            groups = 1
        else:
            outputs = channels if same else groups * self.choice.randint(1, 3)
        given: dict[str, Any] = {"group": groups}
        if same:
            kernel = tuple(self.choice.choice([1, 3]) for _ in range(axes))
            given["pads"] = [k // 2 for k in kernel] * 2
        else:
            pads = [self.choice.choice([0, 0, 1, 2]) for _ in range(2 * axes)]
            room = [
                n + a + b for n, a, b in zip(x.shape[1:], pads[:axes], pads[axes:], strict=True)
            ]
            kernel = tuple(self.choice.randint(1, min(3, n)) for n in room)
            given["dilations"] = [
                self.choice.choice([1, 1, 2]) if (k - 1) * 2 < n else 1
                for k, n in zip(kernel, room, strict=True)
            ]
            given["strides"] = [self.choice.choice([1, 1, 2, 3]) for _ in kernel]
            given["pads"] = pads
            if not any(pads) and self.maybe(0.5):
                del given["pads"]
        if self.maybe(0.5):
            given["kernel_shape"] = kernel
        weights = self._weights((outputs, channels // groups, *kernel))
        inputs = [x.name, weights]
        if self.maybe(0.3):
            inputs.append(self._bias(outputs))
        y = self.file.node("Conv", *inputs, **given)
        return Value(y, x.shape if same else self._conv_shape(x, outputs, kernel, given), False)

    def _conv_shape(
        self, x: Value, outputs: int, kernel: tuple[int, ...], given: dict[str, Any]
    ) -> tuple[int, ...]:
        axes = len(kernel)
        pads, strides, dilations = (
            given.get(name, [default] * length)
            for name, default, length in (
                ("pads", 0, 2 * axes),
                ("strides", 1, axes),
                ("dilations", 1, axes),
            )
        )
        return (
            outputs,
            *(
                (n + pads[i] + pads[i + axes] - (kernel[i] - 1) * dilations[i] - 1) // strides[i]
                + 1
                for i, n in enumerate(x.shape[1:])
            ),
        )

    def _fully_connected(self, x: Value) -> Value:
        features, outputs = x.shape[0], self.choice.randint(1, 6)
        if self.maybe(0.5):
            transposed = self.choice.randint(0, 1)
            weights = self._weights((outputs, features) if transposed else (features, outputs))
            inputs = [x.name, weights]
            if self.maybe(0.5):
                inputs.append(self._bias(outputs))
            return Value(self.file.node("Gemm", *inputs, transB=transposed), (outputs,), False)
        weights = self._weights((features, outputs))
        if self.maybe(0.3):
            weights = self._weights((outputs, features))
            weights = self.file.node("Transpose", weights, perm=[1, 0])
        return Value(self.file.node("MatMul", x.name, weights), (outputs,), False)

    def _product(self, x: Value) -> Value:
        """Weights times the last axis, or times the first of two."""
        outputs = self.choice.randint(1, 4)
        if len(x.shape) == 2 and self.maybe(0.5):
            weights = self._weights((outputs, x.shape[0]))
            return Value(self.file.node("MatMul", weights, x.name), (outputs, x.shape[1]), False)
        weights = self._weights((x.shape[-1], outputs))
        return Value(self.file.node("MatMul", x.name, weights), (*x.shape[:-1], outputs), False)

    def _weights(self, shape: tuple[int, ...]) -> str:
        """Quantized weights whose scale varies along nothing, the outputs, or the kernel."""
        granularities = [(1,) * len(shape), (shape[0],) + (1,) * (len(shape) - 1), ()]
        granularities.append((1, *shape[1:2], *(1,) * (len(shape) - 2)))
        if len(shape) == 4:
            granularities += [(1, 1, *shape[2:]), (1, 1, shape[2], 1), (*shape[:2], 1, 1)]
        grid = self.choice.choice(granularities)
        scale = self.rng.integers(1, 12, grid) / self.choice.choice([1, 4, 16])
        if len(grid) < 2 or grid[0] == math.prod(grid) and self.maybe(0.3):
            scale = self.rng.uniform(0.01, 3, grid)
        scale = np.asarray(scale, np.float32)
        kind = self.choice.choice(["bipolar", "ternary", "ternary", "quant"])
        values = self.rng.integers(-9, 10, shape) / 2 * scale
        if self.maybe(0.3):
            values = self.rng.normal(size=shape) * scale
        constant = self.file.constant(values)
        if self.maybe(0.1):
            constant = self.file.node("Identity", constant)
        elif self.maybe(0.1):
            constant = self.file.node("Constant", value=self.file.initializers.pop())
        if kind == "bipolar":
            return self.file.bipolar(constant, scale)
        if kind == "ternary":
            return self.file.quant(constant, scale, 2, narrow=1)
        return self.file.quant(
            constant,
            scale,
            self.choice.choice([1, 2, 3, 4, 8]),
            signed=self.choice.choice([0, 1, 1]),
            narrow=self.choice.randint(0, 1),
            zero_point=self.choice.choice([0, 0, 0, 1]),
            rounding=self.choice.choice(ROUNDING),
        )

    def _bias(self, outputs: int) -> str:
        bias = self.file.constant(self._reals(outputs))
        return self.file.quant(bias, self._dyadic(), 8) if self.maybe(0.3) else bias

    def _elementwise(self, x: Value) -> Value:
        """Batch normalization, or arithmetic with a constant."""
        operator = self.choice.choice(["BatchNormalization", "Mul", "Div", "Add", "Sub"])
        if operator == "BatchNormalization" and len(x.shape) < 4:
            return self._batch_normalization(x)
        if operator == "BatchNormalization":
            operator = "Mul"
        channels, ones = x.shape[0], (1,) * (len(x.shape) - 1)
        shape = self.choice.choice([(), (1,), (1, channels, *ones), (channels, *ones)])
        constant = self.file.constant(self._reals(shape, zero=operator != "Div"))
        inputs = [x.name, constant]
        if operator != "Div" and self.maybe(0.3):
            inputs.reverse()
        return replace(x, name=self.file.node(operator, *inputs), single=False)

    def _batch_normalization(self, x: Value) -> Value:
        channels = x.shape[0]
        epsilon = 2.0**-10
        # A variance with a rational root, so that exact execution needs no roots.
        variance = (self.rng.integers(1, 16, channels) / 8) ** 2 - epsilon
        parameters = (self._reals(channels), self._reals(channels), self._reals(channels), variance)
        name = self.file.node(
            "BatchNormalization", x.name, *map(self.file.constant, parameters), epsilon=epsilon
        )
        return replace(x, name=name, single=False)

    def _reals(self, shape: Any, zero: bool = True) -> NDArray[np.float64]:
        """Positive, negative and (unless excluded) zero constants; ties are likely."""
        if self.maybe(0.5):
            values = self.rng.integers(-8, 9, shape) / 4
        else:
            values = self.rng.normal(size=shape)
        values = np.asarray(values, np.float64)
        return values if zero else np.where(values == 0, 0.5, values)

    def _input_scaling(self, x: Value) -> Value:
        name = self.file.node(
            self.choice.choice(["Mul", "Div"]), x.name, self.file.constant(self._dyadic())
        )
        if self.maybe(0.5):
            name = self.file.node("Sub", name, self.file.constant(float(self.rng.normal())))
        return replace(x, name=name)

    def _identity(self, x: Value) -> Value:
        return replace(x, name=self.file.node(self.choice.choice(["Identity", "Dropout"]), x.name))

    def _flattened(self, x: Value) -> Value:
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

    def _transposed(self, x: Value) -> Value:
        order = list(range(len(x.shape)))
        self.choice.shuffle(order)
        name = self.file.node("Transpose", x.name, perm=[0, *(axis + 1 for axis in order)])
        return replace(x, name=name, shape=tuple(x.shape[axis] for axis in order))

    def _reshaped(self, x: Value) -> Value:
        """Neighbouring axes merged, or the first one split."""
        shape = list(x.shape)
        if len(shape) > 1 and self.maybe(0.6):
            axis = self.choice.randrange(len(shape) - 1)
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        elif len(shape) < 4 and shape[0] % 2 == 0:
            shape[0:1] = [2, shape[0] // 2]
        name = self.file.node("Reshape", x.name, self._index([1, *shape]))
        return replace(x, name=name, shape=tuple(shape))

    def _squeezed(self, x: Value) -> Value:
        axes = [axis for axis, size in enumerate(x.shape) if size == 1]
        if not axes or len(x.shape) < 2:
            return x
        axis = self.choice.choice(axes)
        name = self.file.node("Squeeze", x.name, self._index([axis + 1]))
        return replace(x, name=name, shape=x.shape[:axis] + x.shape[axis + 1 :])

    def _unsqueezed(self, x: Value) -> Value:
        if len(x.shape) > 3:
            return x
        axis = self.choice.randint(0, len(x.shape))
        name = self.file.node("Unsqueeze", x.name, self._index([axis + 1]))
        return replace(x, name=name, shape=(*x.shape[:axis], 1, *x.shape[axis:]))

    def _max_pool(self, x: Value) -> Value:
        return self._windowed("MaxPool", x)

    def _average_pool(self, x: Value) -> Value:
        return self._windowed("AveragePool", x)

    def _windowed(self, operator: str, x: Value) -> Value:
        sizes = x.shape[1:]
        if len(sizes) not in (1, 2):
            return x
        kernel = [self.choice.randint(1, min(3, n)) for n in sizes]
        strides = [self.choice.randint(1, 3) for _ in sizes]
        given: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
        pads = [0] * (2 * len(sizes))
        if self.maybe(0.3):
            pads = [self.choice.randint(0, k - 1) for k in kernel * 2]
            given["pads"] = pads
            if operator == "AveragePool":
                given["count_include_pad"] = self.choice.randint(0, 1)
        name = self.file.node(operator, x.name, **given)
        shape = self._conv_shape(x, x.shape[0], tuple(kernel), given)
        return replace(x, name=name, shape=shape)

    def _global_average(self, x: Value) -> Value:
        name = self.file.node("GlobalAveragePool", x.name)
        return replace(x, name=name, shape=(x.shape[0], *(1,) * (len(x.shape) - 1)))

    def _mean(self, x: Value) -> Value:
        kept = self.choice.randint(0, 1)
        axes = list(range(2, len(x.shape) + 1))
        name = self.file.node("ReduceMean", x.name, axes=axes, keepdims=kept)
        return replace(x, name=name, shape=(x.shape[0], *(1,) * (kept * len(axes))))

    def _pad(self, x: Value) -> Value:
        before, after = (
            [0, 0, *(self.choice.randint(0, 2) for _ in x.shape[1:])] for _ in range(2)
        )
        name = self.file.node("Pad", x.name, self._index(before + after))
        sizes = [n + a + b for n, a, b in zip(x.shape[1:], before[2:], after[2:], strict=True)]
        return replace(x, name=name, shape=(x.shape[0], *sizes))

    def _upsampled(self, x: Value) -> Value:
        if math.prod(x.shape) * 4 > MAXIMUM_ELEMENTS:
            return x
        factors = [self.choice.randint(1, 2) for _ in x.shape[1:]]
        rules = [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")]
        transformation, nearest = self.choice.choice(rules)
        name = self.file.node(
            "Resize",
            x.name,
            "",
            self.file.constant([1, 1, *factors]),
            mode="nearest",
            coordinate_transformation_mode=transformation,
            nearest_mode=nearest,
        )
        sizes = [n * f for n, f in zip(x.shape[1:], factors, strict=True)]
        return replace(x, name=name, shape=(x.shape[0], *sizes))

    def _depth_to_space(self, x: Value) -> Value:
        if x.shape[0] % 4:
            x = self.quantizer(self._convolution(x, outputs=4))
        mode = self.choice.choice(["DCR", "CRD"])
        name = self.file.node("DepthToSpace", x.name, blocksize=2, mode=mode)
        return replace(x, name=name, shape=(x.shape[0] // 4, x.shape[1] * 2, x.shape[2] * 2))


def graphs() -> st.SearchStrategy[onnx.ModelProto]:
    """Random valid models for hypothesis."""
    return st.randoms(use_true_random=False).map(lambda choice: RandomGraph(choice).build())
