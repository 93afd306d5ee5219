# SPDX-License-Identifier: Apache-2.0
"""Random layers and arithmetic, appended one by one to a QONNX graph."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from random_quantizers import RandomQuantizers, Value


class RandomOperators(RandomQuantizers):
    """Every method takes the tensor to read and returns a new one."""

    def rising(self, x: Value) -> Value:
        """A non-decreasing function, which only moves the boundaries of the next quantizer."""
        operator = self.choice.choice(
            ["Relu", "Relu", "Clip", "LeakyRelu", "Limit", "PRelu", "Hard"]
        )
        if operator == "Relu":
            name = self.file.node("Relu", x.name)
        elif operator == "Clip":
            limits = [self.file.constant(np.float32(v)) for v in np.sort(self._reals(2))]
            name = self.file.node("Clip", x.name, *self.choice.choice([limits, limits[:1]]))
        elif operator == "Limit":
            limit = self.file.constant(np.float32(self._reals(())))
            inputs = self.choice.choice([[x.name, limit], [limit, x.name]])
            name = self.file.node(self.choice.choice(["Max", "Min"]), *inputs)
        elif operator == "PRelu":
            one = (1,) * len(x.shape)
            shape = self.choice.choice([(1,), (x.shape[0], *one[1:])])
            slopes = self.rng.choice([0.0, 0.1, 0.25, 2.0], shape)
            name = self.file.node("PRelu", x.name, self.file.constant(slopes))
        elif operator == "Hard":
            name = self.file.node("HardSigmoid", x.name, alpha=0.25, beta=0.5)
        else:
            name = self.file.node("LeakyRelu", x.name, alpha=self.choice.choice([0.1, 0.25, 2.0]))
        if self.maybe(0.2):
            name = self.file.node("Mul", name, self.file.constant(self.dyadic()))
        return replace(x, name=name, single=False, rectified=True)

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

    def transposed_convolution(self, x: Value) -> Value:
        axes, channels = len(x.shape) - 1, x.shape[0]
        groups = self.choice.choice([g for g in (1, 1, 2, channels) if channels % g == 0])
        kernel = [self.choice.randint(1, 3) for _ in range(axes)]
        strides = [self.choice.randint(1, 2) for _ in kernel]
        dilations = [self.choice.choice([1, 1, 2]) for _ in kernel]
        extra = [self.choice.randrange(stride) for stride in strides]
        pads = [self.choice.randint(0, 1) for _ in range(2 * axes)]
        sizes = [
            (n - 1) * s + (k - 1) * d + 1 + e - a - b
            for n, s, k, d, e, a, b in zip(
                x.shape[1:],
                strides,
                kernel,
                dilations,
                extra,
                pads[:axes],
                pads[axes:],
                strict=True,
            )
        ]
        if min(sizes) < 1 or math.prod(sizes) > 100:
            return x
        outputs = self.choice.randint(1, 2)
        inputs = [x.name, self._weights((channels, outputs, *kernel))]
        if self.maybe(0.3):
            inputs.append(self._bias(groups * outputs))
        y = self.file.node(
            "ConvTranspose",
            *inputs,
            group=groups,
            strides=strides,
            dilations=dilations,
            output_padding=extra,
            pads=pads,
        )
        return Value(y, (groups * outputs, *sizes), False)

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

    def elementwise(self, x: Value) -> Value:
        """Batch normalization, or arithmetic with a constant."""
        operator = self.choice.choice(["BatchNormalization", "Mul", "Div", "Add", "Sub", "Neg"])
        if operator == "Neg":
            return replace(x, name=self.file.node("Neg", x.name))
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

    def input_scaling(self, x: Value) -> Value:
        name = self.file.node(
            self.choice.choice(["Mul", "Div"]), x.name, self.file.constant(self.dyadic())
        )
        if self.maybe(0.5):
            name = self.file.node("Sub", name, self.file.constant(float(self.rng.normal())))
        return replace(x, name=name)
