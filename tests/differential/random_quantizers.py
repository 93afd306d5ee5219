# SPDX-License-Identifier: Apache-2.0
"""Random quantizers of activations and weights, appended one by one to a QONNX graph."""

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


class RandomQuantizers:
    """A graph under construction; every method takes the tensor to read and returns a new one."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.rng = np.random.default_rng(choice.randrange(1 << 32))
        rank = choice.choice([1, 2, 3, 3, 3, 3])
        shape = (choice.randint(1, 4), *(choice.randint(1, 7) for _ in range(rank - 1)))
        self.file = QonnxFile(shape)

    def maybe(self, probability: float) -> bool:
        return self.choice.randrange(100) < 100 * probability

    def quantizer(self, x: Value, scale: float | None = None, activation: bool = False) -> Value:
        scale_given = scale is not None
        if scale is None:
            scale = (
                self.dyadic() if self.maybe(0.7) else float(np.float32(self.rng.uniform(0.1, 2)))
            )
        if not activation and self.maybe(0.15):
            return replace(x, name=self.file.bipolar(x.name, scale), single=True, rectified=False)
        if not activation and not scale_given and self.maybe(0.05):
            return replace(x, name=self.file.node("Sign", x.name), single=True, rectified=False)
        if not scale_given and self.maybe(0.15):
            return self._multithreshold(x)
        if not scale_given and not activation and self.maybe(0.15):
            return self._trunc(x, scale)
        if self.maybe(0.2):
            return self._linear_quantizer(x, scale, free=not (activation or scale_given))
        bits = self.choice.choice([1, 2, 2, 3, 4, 5, 8])
        if self.maybe(0.15):
            bits = self.choice.choice([11, 12, 14] if activation else [10, 11, 12, 16, 20])
            scale = scale if scale_given else scale / self.choice.choice([1, 2**6, 2**10])
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

    def _trunc(self, x: Value, scale: float) -> Value:
        """Both versions; without a power of two between the scales the nearest one counts."""
        bits, shift = self.choice.randint(1, 6), self.choice.randint(-1, 4)
        f, zero = self.file, self.choice.choice([0, 0, 1, -0.5])
        mode = self.choice.choice(ROUNDING) if self.maybe(0.5) else "FLOOR"
        inputs = [x.name, f.constant(scale), f.constant(zero), f.constant(bits + shift)]
        given = {"rounding_mode": mode}
        if not x.rectified and self.maybe(0.3):
            return replace(x, name=f.node("Trunc", *inputs, f.constant(bits), **given), single=True)
        output_scale = scale * 2.0**shift * self.choice.choice([1, 1, 1, 1.25])
        flags = {"signed": self.choice.randint(0, 1), "narrow": self.choice.randint(0, 1)}
        name = f.node(
            "Trunc", *inputs, f.constant(output_scale), f.constant(bits), **flags, **given
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

    def _weights(self, shape: tuple[int, ...]) -> str:
        """Quantized weights: one plane, or the sum of several, each perhaps times constants."""
        if self.maybe(0.8):
            return self._plane(shape)
        operator = self.choice.choice(["Add", "Add", "Sub", "Sum"])
        planes = []
        for _ in range(self.choice.randint(2, 3)):
            plane = self._plane(shape, dyadic=True)
            if self.maybe(0.3):
                grid = self.choice.choice([(), (shape[0],) + (1,) * (len(shape) - 1)])
                factor = self.file.constant(self.rng.integers(-4, 9, grid) / 4)
                plane = self.file.node("Mul", plane, factor)
            planes.append(plane)
        if operator == "Sum":
            return self.file.node("Sum", *planes)
        total, *others = planes
        for plane in others:
            total = self.file.node(operator, total, plane)
        return total

    def _plane(self, shape: tuple[int, ...], dyadic: bool = False) -> str:
        """Quantized weights whose scale varies along nothing, the outputs, or the kernel."""
        granularities = [(1,) * len(shape), (shape[0],) + (1,) * (len(shape) - 1), ()]
        granularities.append((1, *shape[1:2], *(1,) * (len(shape) - 2)))
        if len(shape) == 4:
            granularities += [(1, 1, *shape[2:]), (1, 1, shape[2], 1), (*shape[:2], 1, 1)]
        grid = self.choice.choice(granularities)
        scale = self.rng.integers(1, 12, grid) / self.choice.choice([1, 4, 16])
        if not dyadic and (len(grid) < 2 or (grid[0] == math.prod(grid) and self.maybe(0.3))):
            scale = self.rng.uniform(0.01, 3, grid)
        if len(shape) > 1 and shape[1] % 2 == 0 and self.maybe(0.1):  # groups of two channels
            groups = self.rng.integers(1, 12, (shape[0], shape[1] // 2, *(1,) * (len(shape) - 2)))
            scale = groups.repeat(2, axis=1) / 8
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

    def dyadic(self) -> float:
        return self.choice.choice([0.125, 0.25, 0.5, 0.75, 1.0, 2.0])

    def _reals(self, shape: Any, zero: bool = True) -> NDArray[np.float64]:
        """Positive, negative and (unless excluded) zero constants; ties are likely."""
        if self.maybe(0.5):
            values = self.rng.integers(-8, 9, shape) / 4
        else:
            values = self.rng.normal(size=shape)
        values = np.asarray(values, np.float64)
        return values if zero else np.where(values == 0, 0.5, values)
