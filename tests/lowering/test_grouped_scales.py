# SPDX-License-Identifier: Apache-2.0
"""Weights with one scale per group of input channels, in the forms that files write them."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session, pack
from qdeploy.explanation import explain
from qdeploy.integer import Linear, load, run, save
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly

OUTPUTS, CHANNELS, GROUP = 5, 24, 4


def group_scales(rng: np.random.Generator, kind: str, *kernel: int) -> np.ndarray:
    """[O, I / group, 1...]: powers of two (MX), fixed point, or any float32."""
    shape = (OUTPUTS, CHANNELS // GROUP, *kernel)
    scale = {
        "power of two": 2.0 ** rng.integers(-6, 0, shape),
        "fixed point": rng.integers(100, 256, shape) / 1024,
        "float32": rng.uniform(0.05, 0.3, shape),
    }[kind]
    return scale.astype(np.float32)


def check(f: QonnxFile, output: str, tmp_path) -> Linear:
    """Exact, in the CPU model and from the file too; returns the layer."""
    path = f.save(output, tmp_path / "net.onnx", rank=len(f.input_shape) + 1)
    network = lower(path)
    x = np.random.default_rng(1).normal(scale=2, size=(3, *f.input_shape)).astype(np.float32)
    integers = run(network, x)
    for sample, real in zip(x, network.real_output(integers), strict=True):
        expected = execute_exactly(onnx.load(path), sample)[0]
        assert np.array_equal(real, expected.astype(np.float64).astype(np.float32))
    save(network, tmp_path / "integer.npz")
    assert np.array_equal(run(load(tmp_path / "integer.npz"), x), integers)
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)
    return network.nodes[0]


def reshaped(f: QonnxFile, weights: np.ndarray, scale: np.ndarray) -> str:
    """[O, I] as [O, I / group, group], quantized, and back."""
    grouped = weights.reshape(OUTPUTS, -1, GROUP)
    w = f.quant(f.constant(grouped), scale[:, :, np.newaxis], 4, narrow=1)
    return f.node("Reshape", w, f.constant([OUTPUTS, CHANNELS], np.int64))


def full_size(f: QonnxFile, weights: np.ndarray, scale: np.ndarray) -> str:
    repeated = scale.repeat(GROUP, axis=1)
    return f.quant(f.constant(weights), np.broadcast_to(repeated, weights.shape), 4, narrow=1)


@pytest.mark.parametrize("form", [reshaped, full_size])
@pytest.mark.parametrize("kind", ["power of two", "fixed point", "float32"])
def test_linear(kind, form, tmp_path):
    rng, f = np.random.default_rng(0), QonnxFile((CHANNELS,))
    scale = group_scales(rng, kind)
    w = form(f, rng.normal(size=(OUTPUTS, CHANNELS)), scale)
    y = f.node("MatMul", f.quant("x", 0.125, 6), f.node("Transpose", w, perm=[1, 0]))
    layer = check(f, f.quant(y, 0.0625, 8), tmp_path)
    (plane,) = layer.weights.planes
    assert plane.multipliers.shape == scale.shape
    assert plane.kind == "int4"
    became = [n.became for part in explain(tmp_path / "net.onnx").layers for n in part.nodes]
    assert any(f"{scale.size} multipliers" in text for text in became)


@pytest.mark.parametrize("kind", ["power of two", "float32"])
def test_convolution_with_scales_of_full_size(kind, tmp_path):
    rng, f = np.random.default_rng(2), QonnxFile((CHANNELS, 5, 5))
    scale = group_scales(rng, kind, 1, 1)
    w = full_size(f, rng.normal(size=(OUTPUTS, CHANNELS, 3, 3)), scale)
    y = f.node("Conv", f.quant("x", 0.25, 4), w, pads=[1] * 4)
    layer = check(f, f.quant(y, 0.0625, 8), tmp_path)
    assert layer.weights.planes[0].multipliers.shape == scale.shape


def test_the_public_executor_agrees(tmp_path):
    rng, f = np.random.default_rng(3), QonnxFile((CHANNELS,))
    w = reshaped(f, rng.normal(size=(OUTPUTS, CHANNELS)), group_scales(rng, "power of two"))
    y = f.node("MatMul", f.quant("x", 0.5, 4), f.node("Transpose", w, perm=[1, 0]))
    path = f.save(y, tmp_path / "net.onnx")
    x = rng.normal(size=(5, CHANNELS)).astype(np.float32)
    network = lower(path)
    assert np.array_equal(network.real_output(run(network, x)), execute(path, x))


def test_blocks_of_dequantize_linear(tmp_path):
    """ONNX's own form since version 21: codes, and scales [O, I / block]."""
    rng = np.random.default_rng(4)
    scale = group_scales(rng, "power of two")
    arrays = {
        "codes": rng.integers(-8, 8, (OUTPUTS, CHANNELS)).astype(np.int8),
        "scale": scale,
        "zero": np.zeros(scale.shape, np.int8),
        "x_scale": np.array(0.25, np.float32),
        "x_zero": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "x_scale", "x_zero"], ["a"]),
        helper.make_node(
            "DequantizeLinear", ["codes", "scale", "zero"], ["w"], axis=1, block_size=GROUP
        ),
        helper.make_node("Gemm", ["a", "w"], ["y"], transB=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "blocks",
        [value("x", TensorProto.FLOAT, [1, CHANNELS])],
        [value("y", TensorProto.FLOAT, [1, OUTPUTS])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    assert network.nodes[0].weights.planes[0].multipliers.shape == scale.shape
    x = rng.normal(size=(1, CHANNELS)).astype(np.float32)
    options = onnxruntime.SessionOptions()  # which would fuse the blocks into an operator without
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), options)
    (expected,) = session.run(None, {"x": x})
    assert np.array_equal(network.real_output(run(network, x)), expected)
