# SPDX-License-Identifier: Apache-2.0
"""Lowered files against the public qonnx executor, and against exact rationals where it is off."""

from fractions import Fraction

import numpy as np
import pytest
from qonnx_files import QonnxFile, execute

from qdeploy.integer import Convolution, Linear, Threshold, run, run_codes
from qdeploy.lowering import lower

PIXEL_SCALES = np.array([[3, 5, 2], [7, 11, 5], [2, 6, 3]], np.float32).reshape(1, 1, 3, 3) / 64


def syq_cnn(rng: np.random.Generator, gamma: np.ndarray, weights: str = "ternary") -> QonnxFile:
    """quant - conv (pixel scales) - BN - Relu - quant - max pool - flatten - Gemm with bias."""
    f = QonnxFile((2, 6, 6))
    x = f.quant("x", 0.125, 4, signed=0, name="/image/Quant")
    codes = rng.choice([-1, 1] if weights == "binary" else [-1, 0, 1], (4, 2, 3, 3))
    real = f.constant(codes * PIXEL_SCALES)
    w = (
        f.bipolar(real, PIXEL_SCALES)
        if weights == "binary"
        else f.quant(real, PIXEL_SCALES, 2, narrow=1)
    )
    y = f.node("Conv", x, w, name="/features/features.0/Conv", pads=[1, 1, 1, 1])
    statistics = [gamma, rng.normal(size=4), rng.normal(size=4), rng.random(4) + 0.1]
    y = f.node(
        "BatchNormalization", y, *map(f.constant, statistics), name="/bn1/BatchNormalization"
    )
    y = f.quant(f.node("Relu", y), 0.25, 2, signed=0, name="/act1/act_quant/export_handler/Quant")
    y = f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], name="/pool/MaxPool")
    y = f.node("Flatten", y, name="/Flatten")
    w = f.quant(f.constant(rng.normal(size=(5, 36))), 0.5, 2, narrow=1)
    f.node("Gemm", y, w, f.constant(rng.normal(size=5)), transB=1, name="/fc/Gemm")
    return f


def real_inputs(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.integers(-4, 20, (count, *shape)) / 16).astype(np.float32)


@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("seed", range(4))
def test_syq_cnn_equals_the_public_executor(tmp_path, weights, seed):
    rng = np.random.default_rng(seed)
    f = syq_cnn(rng, np.array([1.5, -0.75, 0, 0.3]), weights)
    path = f.save(f.nodes[-1].output[0], tmp_path / "net.onnx")
    network = lower(path)
    x = real_inputs(rng, 20, (2, 6, 6))
    expected = execute(path, x)
    assert np.allclose(network.real_output(run(network, x)), expected, rtol=1e-6, atol=1e-5)
    assert [node.name for node in network.nodes] == [
        "features.0", "act1", "pool", "Flatten", "fc",
    ]  # fmt: skip


def test_scales_stay_structured_and_signs_go_into_the_codes(tmp_path):
    rng = np.random.default_rng(21)  # no channel is constant
    f = syq_cnn(rng, np.array([1.0, -1.0, 1.0, -1.0]))
    network = lower(f.save(f.nodes[-1].output[0], tmp_path / "net.onnx"))
    convolution, threshold = network.nodes[:2]
    assert isinstance(convolution, Convolution)
    assert isinstance(threshold, Threshold)
    (plane,) = convolution.weights.planes
    assert plane.kind == "ternary"
    assert np.array_equal(plane.multipliers, PIXEL_SCALES * 64)
    assert np.array_equal(threshold.step, [1])
    assert network.tensors["features.0"].meaning.scale == tuple(
        Fraction(sign, 64 * 8) for sign in (1, -1, 1, -1)
    )
    assert network.tensors["x"].range.high == 15


def test_per_channel_weight_scales_leave_the_sum(tmp_path):
    rng = np.random.default_rng(0)
    f = QonnxFile((6,))
    x = f.quant("x", 0.5, 3)
    scales = np.array([[0.5], [0.1], [3.0]], np.float32)
    w = f.quant(f.constant(rng.normal(size=(3, 6))), scales, 4)
    y = f.node("MatMul", x, f.node("Transpose", w, perm=[1, 0]))
    network = lower(f.save(y, tmp_path / "net.onnx"))
    (linear,) = network.nodes
    assert isinstance(linear, Linear)
    assert not linear.weights.is_scaled
    assert network.output_tensor.meaning.scale == tuple(
        Fraction(float(s)) / 2 for s in scales.ravel()
    )


def test_max_pool_before_the_quantizer_sees_positive_scales(tmp_path):
    rng = np.random.default_rng(5)
    f = QonnxFile((1, 6, 6))
    x = f.quant("x", 1.0, 4)
    w = f.quant(f.constant(rng.integers(-1, 2, (3, 1, 3, 3))), 1.0, 2, narrow=1)
    y = f.node("Mul", f.node("Conv", x, w), f.constant([[[-0.5]], [[0.25]], [[-1.0]]]))
    y = f.node("MaxPool", y, kernel_shape=[2, 2], strides=[1, 1])
    y = f.quant(y, 0.5, 3)
    path = f.save(y, tmp_path / "net.onnx", rank=4)
    x_real = real_inputs(rng, 30, (1, 6, 6)) * 10
    network = lower(path)
    assert np.array_equal(network.real_output(run(network, x_real)), execute(path, x_real))


def test_shared_accumulator_keeps_its_sign(tmp_path):
    """A tensor read twice must not be negated for one of its readers."""
    rng = np.random.default_rng(2)
    f = QonnxFile((4,))
    x = f.quant("x", 1.0, 3)
    w = f.quant(f.constant(rng.integers(-1, 2, (4, 3))), 1.0, 2, narrow=1)
    y = f.node("Mul", f.node("MatMul", x, w), f.constant([1.0, -1.0, -2.0]))
    quantized = f.quant(y, 1.0, 3)
    f.quant(y, 2.0, 2)
    w2 = f.quant(f.constant(rng.integers(-1, 2, (3, 2))), 1.0, 2, narrow=1)
    path = f.save(f.node("MatMul", quantized, w2), tmp_path / "net.onnx")
    x_real = rng.integers(-5, 6, (40, 4)).astype(np.float32)
    network = lower(path)
    assert np.array_equal(network.real_output(run(network, x_real)), execute(path, x_real))


def test_a_tie_is_decided_by_the_rounding_rule(tmp_path):
    """Accumulators meet boundaries exactly: scale 1/2 rounds halves to even."""
    f = QonnxFile((1,))
    x = f.quant("x", 1.0, 5)
    w = f.quant(f.constant([[1.0]]), 1.0, 2, narrow=1)
    y = f.quant(f.node("MatMul", x, w), 2.0, 4)
    network = lower(f.save(y, tmp_path / "net.onnx"))
    values = np.arange(-16, 16).reshape(-1, 1)
    codes = run_codes(network, values)[network.output].ravel()
    assert codes.tolist() == [max(-8, min(7, round(Fraction(int(v), 2)))) for v in values.ravel()]


def test_class_output_is_the_first_largest_logit(tmp_path):
    rng = np.random.default_rng(3)
    f = QonnxFile((4,))
    x = f.quant("x", 1.0, 2)
    w = f.quant(f.constant(rng.integers(-1, 2, (4, 5))), 1.0, 2, narrow=1)
    path = f.save(f.node("MatMul", x, w), tmp_path / "net.onnx")
    x_real = rng.integers(-2, 2, (50, 4)).astype(np.float32)
    logits, classes = run(lower(path), x_real), run(lower(path, "class"), x_real)
    assert np.array_equal(classes[:, 0], logits.argmax(axis=1))
