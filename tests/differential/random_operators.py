# SPDX-License-Identifier: Apache-2.0
"""Random quantizers, layers and arithmetic, appended one by one to a QONNX graph."""

import math
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qonnx_files import QonnxFile

ROUNDING = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]
ROUNDING += ["ROUND_TO_ZERO"]


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


class RandomOperators:
    """A graph under construction; every method takes the tensor to read and returns a new one."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.rng = np.random.default_rng(choice.randrange(1 << 32))
        rank = choice.choice([1, 2, 3, 3, 3, 3])
        shape = (choice.randint(1, 4), *(choice.randint(1, 7) for _ in range(rank - 1)))
        self.file = QonnxFile(shape)

    def maybe(self, probability: float) -> bool:
        return self.choice.randrange(100) < 100 * probability

    def rising(self, x: Value) -> Value:
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
            name = self.file.node("Mul", name, self.file.constant(self.dyadic()))
        return replace(x, name=name, single=False, rectified=True)

    def quantizer(self, x: Value, scale: float | None = None, activation: bool = False) -> Value:
        scale_given = scale is not None
        if scale is None:
            scale = (
                self.dyadic() if self.maybe(0.7) else float(np.float32(self.rng.uniform(0.1, 2)))
            )
        if not activation and self.maybe(0.15):
            return replace(x, name=self.file.bipolar(x.name, scale), single=True, rectified=False)
        if not scale_given and self.maybe(0.15):
            return self._multithreshold(x)
        if self.maybe(0.2):
            return self._linear_quantizer(x, scale, free=not (activation or scale_given))
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

    def _multithreshold(self, x: Value) -> Value:
        """Thresholds in any order, some of them equal, for all channels or for each."""
        layout = self.choice.choice(["", {1: "NC", 2: "NWC", 3: "NHWC"}.get(len(x.shape), "")])
        axis = len(x.shape) if layout or len(x.shape) == 2 else 1
        rows = self.choice.choice([1, x.shape[axis - 1]])
        name = self.file.node(
            "MultiThreshold",
            x.name,
            self.file.constant(self._reals((rows, self.choice.randint(1, 9)))),
            out_dtype="INT8",
            out_scale=self.choice.choice([1.0, 1.0, 2.0, 0.375, -1.0]),
            out_bias=self.choice.choice([0.0, 0.0, -1.0, 0.5, 0.2]),
            **({"data_layout": layout} if layout else {}),
        )
        return replace(x, name=name, single=True, rectified=False)

    def _linear_quantizer(self, x: Value, scale: float, free: bool) -> Value:
        """QuantizeLinear, perhaps Clip, DequantizeLinear; `free` to vary the scale."""
        scales: Any = scale
        axis = None
        if free and self.maybe(0.2):
            axis = self.choice.randint(1, len(x.shape))
            scales = scale * self.rng.integers(1, 6, x.shape[axis - 1])
        dtype, limits = self._code_type()
        turned = axis is None and self.maybe(0.3)

        def turn(name: str) -> str:
            perm = [0, *range(len(x.shape), 0, -1)]
            return self.file.node("Transpose", name, perm=perm) if turned else name

        name = self.file.qcdq(
            x.name,
            scales,
            zero_point=self.choice.choice([0, 0, 0, 1, 3]),
            dtype=dtype,
            limits=limits,
            axis=axis,
            between=turn,
        )
        return Value(turn(name), x.shape, single=axis is None)

    def _code_type(self) -> tuple[Any, tuple[int, int] | None]:
        """An integer type, and limits for its codes or none."""
        dtype, ends = self.choice.choice(
            [(np.int8, [(-8, 7), (-7, 7), (-1, 1), (-2, 1)]), (np.uint8, [(0, 15), (0, 7), (0, 1)])]
        )
        return dtype, self.choice.choice(ends) if self.maybe(0.8) else None

    def dyadic(self) -> float:
        return self.choice.choice([0.125, 0.25, 0.5, 0.75, 1.0, 2.0])

    def convolution(self, x: Value, same: bool = False, outputs: int = 0) -> Value:
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
            elif self.maybe(0.2) and all(k <= n for k, n in zip(kernel, x.shape[1:], strict=True)):
                given["auto_pad"] = self.choice.choice(["SAME_UPPER", "SAME_LOWER"])
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
        """Sizes as the ONNX specification has them; `given` are the attributes."""
        axes, automatic = len(kernel), given.get("auto_pad", "NOTSET")
        pads = given.get("pads", [0] * 2 * axes)
        sizes = []
        for i, n in enumerate(x.shape[1:]):
            stride = given.get("strides", [1] * axes)[i]
            extent = (kernel[i] - 1) * given.get("dilations", [1] * axes)[i] + 1
            room = n - extent + (pads[i] + pads[i + axes] if automatic == "NOTSET" else 0)
            size = room // stride + 1
            if automatic.startswith("SAME"):
                size = math.ceil(n / stride)
            elif given.get("ceil_mode", 0):
                size = math.ceil(room / stride) + 1
                size -= (size - 1) * stride >= n + pads[i]
            sizes.append(size)
        return (outputs, *sizes)

    def fully_connected(self, x: Value) -> Value:
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

    def product(self, x: Value) -> Value:
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
        if len(grid) < 2 or (grid[0] == math.prod(grid) and self.maybe(0.3)):
            scale = self.rng.uniform(0.01, 3, grid)
        scale = np.asarray(scale, np.float32)
        kind = self.choice.choice(["bipolar", "ternary", "ternary", "quant", "linear"])
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
        if kind == "linear":
            return self._linear_weights(constant, shape, scale)
        if kind == "ternary":
            return self.file.quant(constant, scale, 2, narrow=1)
        bits, signed = self.choice.choice([1, 2, 3, 4, 8]), self.choice.choice([0, 1, 1])
        return self.file.quant(
            constant,
            scale,
            bits,
            signed=signed,
            narrow=self.choice.randint(0, 1),
            zero_point=self.choice.choice([0, 0, 0, 1, -1, 0.5]),
            rounding=self.choice.choice(ROUNDING),
        )

    def _linear_weights(self, real: str, shape: tuple[int, ...], scale: NDArray[Any]) -> str:
        """Weights as integers of the file, or behind QuantizeLinear; one scale or one per row."""
        axis = self.choice.randrange(len(shape))
        scales = np.resize(scale, shape[axis]) if self.maybe(0.5) else scale.ravel()[0]
        dtype, limits = self._code_type()
        zero = self.choice.choice([0, 0, 2])
        if self.maybe(0.5):
            return self.file.qcdq(
                real, scales, zero_point=zero, dtype=dtype, limits=limits, axis=axis
            )
        low, high = limits or (0, 9)
        codes = self.rng.integers(low, high + 1, shape)
        return self.file.dequantized(codes, scales, dtype=dtype, zero_point=zero, axis=axis)

    def _bias(self, outputs: int) -> str:
        if self.maybe(0.2):
            codes = self.rng.integers(-1000, 1000, outputs)
            scales = self.rng.integers(1, 4, outputs) / 8
            return self.file.dequantized(codes, scales, dtype=np.int32)
        bias = self.file.constant(self._reals(outputs))
        return self.file.quant(bias, self.dyadic(), 8) if self.maybe(0.3) else bias

    def elementwise(self, x: Value) -> Value:
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

    def input_scaling(self, x: Value) -> Value:
        name = self.file.node(
            self.choice.choice(["Mul", "Div"]), x.name, self.file.constant(self.dyadic())
        )
        if self.maybe(0.5):
            name = self.file.node("Sub", name, self.file.constant(float(self.rng.normal())))
        return replace(x, name=name)
