# SPDX-License-Identifier: Apache-2.0
"""Files that look like those other tools write: operators, layouts and details of each tool."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper
from qonnx_files import QonnxFile

Kind = Callable[[np.random.Generator], onnx.ModelProto]


def weight(f: QonnxFile, rng: np.random.Generator, shape: Sequence[int], bits: int = 4) -> str:
    """Quantized weights with one power-of-two scale per output channel (axis 0)."""
    scale = 2.0 ** rng.integers(-5, -2, (shape[0],) + (1,) * (len(shape) - 1))
    return f.quant(f.constant(rng.normal(scale=0.3, size=shape)), scale, bits, narrow=1)


def batch_norm(f: QonnxFile, x: str, rng: np.random.Generator, channels: int) -> str:
    """With a factor of each sign, and variances that have rational roots."""
    gamma = rng.choice([-0.75, 0.5, 1.25, 1.5], channels)
    beta, mean = rng.integers(-8, 9, (2, channels)) / 16
    variance = rng.choice([0.25, 1.0, 2.25], channels)
    parameters = [f.constant(v) for v in (gamma, beta, mean, variance)]
    return f.node("BatchNormalization", x, *parameters, epsilon=0.0, momentum=0.9)


def relu(f: QonnxFile, x: str, scale: ArrayLike, bits: int) -> str:
    """Brevitas' QuantReLU."""
    return f.quant(f.node("Relu", x), scale, bits, signed=0)


def conv(f: QonnxFile, x: str, kernel: str, sizes: Sequence[int], *bias: str, **given: Any) -> str:
    """With all attributes, as exporters write it."""
    rank = len(sizes)
    defaults = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank, "group": 1}
    return f.node("Conv", x, kernel, *bias, kernel_shape=list(sizes), **{**defaults, **given})


def block(f: QonnxFile, x: str, rng: np.random.Generator, i: int, o: int, **given: Any) -> str:
    """Convolution 3x3, batch normalization and a 4-bit QuantReLU."""
    kernel = weight(f, rng, (o, i // given.get("group", 1), 3, 3))
    y = conv(f, x, kernel, (3, 3), pads=[1] * 4, **given)
    return relu(f, batch_norm(f, y, rng, o), 0.25, 4)


def residual_network(rng: np.random.Generator) -> onnx.ModelProto:
    """ResNet w4a4: shared output quantizers, a strided shortcut, a mean, a biased last layer."""
    f = QonnxFile((3, 8, 8))
    x = block(f, f.quant("x", 2**-7, 8), rng, 3, 4)
    for stride in (1, 2):
        y = block(f, x, rng, 4, 4, strides=[stride] * 2)
        y = conv(f, y, weight(f, rng, (4, 4, 1, 1)), (1, 1))
        if stride == 2:
            x = conv(f, x, weight(f, rng, (4, 4, 1, 1)), (1, 1), strides=[2, 2])
            x = relu(f, batch_norm(f, x, rng, 4), 0.25, 4)
        y = relu(f, batch_norm(f, y, rng, 4), 0.25, 4)
        x = f.quant(f.node("Add", y, x), 0.5, 4, signed=0)
    y = f.node("Flatten", f.quant(f.node("GlobalAveragePool", x), 0.125, 8, signed=0))
    bias = f.quant(f.constant(rng.normal(size=5)), 2**-8, 16)
    return f.model(f.node("Gemm", y, weight(f, rng, (5, 4), 8), bias, transB=1))


def separable_network(rng: np.random.Generator) -> onnx.ModelProto:
    """Depthwise and pointwise convolutions."""
    f = QonnxFile((2, 6, 6))
    x = block(f, f.quant("x", 2**-7, 8), rng, 2, 4, strides=[2, 2])
    x = block(f, x, rng, 4, 4, group=4)
    y = conv(f, x, weight(f, rng, (6, 4, 1, 1)), (1, 1))
    return f.model(f.quant(batch_norm(f, y, rng, 6), 0.5, 4), rank=4)


def unet(rng: np.random.Generator) -> onnx.ModelProto:
    """Down, up, and the skip connection joined along the channels."""
    f = QonnxFile((2, 8, 8))
    skip = block(f, f.quant("x", 2**-7, 8), rng, 2, 3)
    y = f.node("MaxPool", skip, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    y = block(f, y, rng, 3, 4)
    y = f.node(
        "Resize", y, "", f.constant([1.0, 1.0, 2.0, 2.0]),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    y = block(f, f.node("Concat", y, skip, axis=1), rng, 7, 3)
    y = conv(f, y, weight(f, rng, (1, 3, 1, 1), 8), (1, 1), f.constant([0.25]))
    return f.model(y, rank=4)


def radio_network(rng: np.random.Generator) -> onnx.ModelProto:
    """RadioML's VGG10 in small: 1-D convolutions on two channels, 8-bit input."""
    f = QonnxFile((2, 16))
    x = f.quant("x", 2**-6, 8)
    for i, o in ((2, 4), (4, 4)):
        y = conv(f, x, weight(f, rng, (o, i, 3)), (3,), pads=[1, 1])
        x = relu(f, batch_norm(f, y, rng, o), 0.25, 4)
        x = f.node("MaxPool", x, kernel_shape=[2], strides=[2], pads=[0, 0])
    y = f.node("Reshape", x, f.constant([1, -1], np.int64))
    y = f.node("MatMul", y, f.node("Transpose", weight(f, rng, (5, 16)), perm=[1, 0]))
    return f.model(y)


def jet_tagger(rng: np.random.Generator) -> onnx.ModelProto:
    """A QKeras MLP: no quantizer for the input, integer parameters of Quant, quantized biases."""
    f = QonnxFile((16,))
    one, zero, six = (f.constant(v, np.int64) for v in (1, 0, 6))

    def quant(name: str, scale: str, signed: int = 1) -> str:
        return f.node(
            "Quant", name, scale, zero, six, signed=signed, narrow=0, rounding_mode="ROUND"
        )

    x, scale = "x", f.constant([2**-5])
    for i, o in ((16, 8), (8, 8), (8, 5)):
        kernel = quant(f.constant(rng.normal(scale=0.3, size=(i, o))), scale)
        y = f.node("MatMul", x, kernel)
        y = f.node("Add", y, quant(f.constant(rng.normal(scale=0.3, size=o)), scale))
        x = quant(f.node("Relu", y), f.constant(2**-4), signed=0)
    y = f.node("MatMul", x, quant(f.constant(rng.normal(size=(5, 5))), one))
    model = f.model(f.node("Softmax", y, axis=-1))
    for node in model.graph.node:  # as its converter names the domain
        node.domain = "qonnx" if node.op_type == "Quant" else ""
    return model


def keras_network(rng: np.random.Generator) -> onnx.ModelProto:
    """tf2onnx: images [N, H, W, C], kernels [H, W, I, O] behind a Transpose, padding of its own."""
    f = QonnxFile((7, 7, 3))
    x = f.node("Transpose", f.quant("x", 2**-7, 8, signed=0), perm=[0, 3, 1, 2])
    x = f.node("Pad", x, f.constant([0, 0, 0, 0, 0, 0, 1, 1], np.int64), f.constant(0.0))
    kernel = f.quant(f.constant(rng.normal(scale=0.4, size=(3, 3, 3, 4))), 2**-4, 4)
    kernel = f.node("Transpose", kernel, perm=[3, 2, 0, 1])
    y = f.node("Conv", x, kernel, f.constant(rng.integers(-9, 9, 4) / 8), strides=[2, 2])
    y = relu(f, batch_norm(f, y, rng, 4), 2**-3, 6)
    kernel = f.quant(f.constant(rng.normal(scale=0.4, size=(3, 3, 4, 1))), 2**-4, 4)
    kernel = f.node("Transpose", f.node("Reshape", kernel, f.constant([3, 3, 1, 4], np.int64)),
                    perm=[3, 2, 0, 1])  # fmt: skip
    y = f.quant(f.node("Conv", y, kernel, group=4, pads=[1] * 4), 2**-2, 6)
    y = f.node("MaxPool", f.node("Relu", y), kernel_shape=[2, 2], strides=[1, 1])
    y = f.node("Transpose", y, perm=[0, 2, 3, 1])
    y = f.node("Reshape", y, f.constant([-1, 16], np.int64))
    y = f.quant(y, 2**-2, 5)
    kernel = f.quant(f.constant(rng.normal(size=(16, 3))), 2**-3, 6)
    y = f.node("Add", f.node("MatMul", y, kernel), f.constant(rng.integers(-9, 9, 3) / 8))
    model = f.model(y)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "unk__7"
    for node in model.graph.node:
        node.name = ""
    return model


def wide_activations(rng: np.random.Generator) -> onnx.ModelProto:
    """10-bit activations and a signal that is requantized."""
    f = QonnxFile((6,))
    x = f.quant("x", 2**-9, 10)
    y = f.node("MatMul", x, f.quant(f.constant(rng.normal(size=(6, 5))), 2**-6, 8))
    y = f.quant(y, 2**-7, 10)
    y = f.quant(f.quant(y, 2**-5, 6, rounding="FLOOR"), 2**-4, 4, rounding="HALF_UP")
    return f.model(f.node("MatMul", y, f.quant(f.constant(rng.normal(size=(5, 3))), 2**-6, 8)))


def old_network(rng: np.random.Generator) -> onnx.ModelProto:
    """Old exports: parameters shared and among the inputs, five outputs of a normalization."""
    f = QonnxFile((4,))
    scale, zero, bits = f.constant([[0.25]]), f.constant([0.0]), f.constant([4.0])
    constants = {}

    def quant(name: str) -> str:
        return f.node("Quant", name, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND")

    y = f.node("Gemm", quant("x"), quant(f.constant(rng.normal(size=(5, 4)))), transB=1)
    y = batch_norm(f, y, rng, 5)
    f.nodes[-1].output.extend(["mean", "var", "saved_mean", "saved_var"])
    y = f.node("Dropout", quant(y))
    f.nodes[-1].output.append("mask")
    y = f.node("Mul", f.node("Clip", y, f.constant(-1.0), f.constant(1.0)), f.constant([0.5]))
    model = f.model(quant(y))
    for tensor in model.graph.initializer:
        constants[tensor.name] = helper.make_tensor_value_info(
            tensor.name, TensorProto.FLOAT, tensor.dims
        )
    model.graph.input.extend(constants.values())
    model.opset_import[0].version = 13
    return model


KINDS: dict[str, tuple[Kind, str | None]] = {
    "residual": (residual_network, None),
    "separable": (separable_network, None),
    "unet": (unet, None),
    "radio": (radio_network, None),
    "jet tagger": (jet_tagger, "fixed<12,3>"),
    "keras": (keras_network, None),
    "wide": (wide_activations, None),
    "old": (old_network, None),
}
