# SPDX-License-Identifier: Apache-2.0
"""Scales per channel that a pixel shuffle scatters, against exact rationals."""

import numpy as np
import pytest
from comparison import compare
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session
from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.integer import Requantize, Threshold, load, run, save
from qdeploy.lowering import lower


def convolution(f: QonnxFile, rng: np.random.Generator, x: str, inputs: int, outputs: int) -> str:
    """One scale per output channel, of no small ratios, and a bias."""
    scale = rng.uniform(0.1, 0.5, (outputs, 1, 1, 1)).astype(np.float32)
    codes = rng.integers(-3, 4, (outputs, inputs, 3, 3))
    weights = f.quant(f.constant(codes * scale), scale, 3, narrow=1)
    return f.node("Conv", x, weights, f.constant(rng.normal(size=outputs)), pads=[1] * 4)


def shuffled(f: QonnxFile, x: str, shape: tuple[int, ...], kind: str) -> str:
    """[4 C, H, W] to [C, 2 H, 2 W]."""
    if kind != "six axes":
        return f.node("DepthToSpace", x, blocksize=2, mode=kind)
    channels, height, width = shape[0] // 4, *shape[1:]
    x = f.node("Reshape", x, f.constant([1, channels, 2, 2, height, width], np.int64))
    x = f.node("Transpose", x, perm=[0, 1, 4, 2, 5, 3])
    return f.node("Reshape", x, f.constant([1, channels, 2 * height, 2 * width], np.int64))


KINDS = ["DCR", "CRD", "six axes"]


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_output(kind, tmp_path):
    f, rng = QonnxFile((3, 4, 5)), np.random.default_rng(0)
    y = convolution(f, rng, f.quant("x", 0.25, 4), 3, 8)
    y = shuffled(f, y, (8, 4, 5), kind)
    network = compare(f.model(y, rank=4), tmp_path)
    assert network is not None
    meaning = network.output_tensor.meaning
    assert network.output_tensor.shape == (2, 8, 10)
    assert len(meaning.scale) == 8
    assert meaning.block is not None
    assert meaning.block.shape == (2, 2, 2)

    x = rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    integers = run(network, x)
    real = network.real_output(integers)
    assert np.allclose(real, execute(tmp_path / "model.onnx", x), rtol=1e-5, atol=1e-5)
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run(x), real)
    save(network, tmp_path / "net.npz")
    assert np.array_equal(load(tmp_path / "net.npz").real_output(integers), real)
    operators = [
        o.name for layer in explain(tmp_path / "model.onnx").layers for o in layer.operators
    ]
    assert sorted(operators) == sorted(node.name for node in network.nodes)


@pytest.mark.parametrize("bits", [3, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_before_a_quantizer_and_the_next_layer(kind, bits, tmp_path):
    """Functions, constants per channel and quantizers behind the moves are as before them."""
    f, rng = QonnxFile((3, 4, 5)), np.random.default_rng(1)
    y = convolution(f, rng, f.quant("x", 0.25, 4), 3, 8)
    y = shuffled(f, y, (8, 4, 5), kind)
    y = f.node("Add", y, f.constant(rng.normal(size=(2, 1, 1))))
    slopes = f.constant([[[0.25]], [[0.5]]])
    y = f.node("PRelu", y, slopes) if bits == 3 else f.node("Relu", y)
    y = f.quant(y, np.array([0.125, 0.25]).reshape(1, 2, 1, 1), bits)
    network = compare(f.model(convolution(f, rng, y, 2, 4), rank=4), tmp_path)
    assert network is not None
    kinds = [type(node) for node in network.nodes]
    assert (Threshold if bits == 3 else Requantize) in kinds
    assert network.output_tensor.meaning.block is None


def test_channel_shuffle_keeps_a_scale_per_channel(tmp_path):
    """Two groups of channels, interleaved: their scales vary along the channels again."""
    f, rng = QonnxFile((3, 4, 4)), np.random.default_rng(2)
    y = convolution(f, rng, f.quant("x", 0.25, 4), 3, 6)
    y = f.node("Reshape", y, f.constant([1, 2, 3, 4, 4], np.int64))
    y = f.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = f.node("Reshape", y, f.constant([1, 6, 4, 4], np.int64))
    network = compare(f.model(f.node("GlobalAveragePool", y), rank=4), tmp_path)
    assert network is not None
    assert network.output_tensor.meaning.block is None
    assert len(set(network.output_tensor.meaning.scale)) == 6


def test_a_layer_that_reads_mixed_channels_is_refused(tmp_path):
    f, rng = QonnxFile((3, 4, 5)), np.random.default_rng(3)
    y = convolution(f, rng, f.quant("x", 0.25, 4), 3, 8)
    y = f.node("DepthToSpace", y, blocksize=2, mode="CRD")
    y = f.node("MaxPool", y, kernel_shape=[2, 2], name="/pool/MaxPool")
    path = f.save(y, tmp_path / "net.onnx", rank=4)
    with pytest.raises(UserError, match=r"layer 'pool': .*mixes channels .*\n.*quantize"):
        lower(path)


@pytest.mark.parametrize("scales", [[0.5, 0.125], [0.25, 0.25]])
def test_a_quantizer_in_onnx_takes_one_scale_behind_mixed_channels(scales, tmp_path):
    f, rng = QonnxFile((3, 4, 5)), np.random.default_rng(4)
    y = convolution(f, rng, f.quant("x", 0.25, 4), 3, 8)
    y = f.node("DepthToSpace", y, blocksize=2, mode="CRD")
    scale, zeros = f.constant(scales), f.constant([0, 0], np.int8)
    y = f.node("QuantizeLinear", y, scale, zeros, axis=1)
    y = f.node("DequantizeLinear", y, scale, zeros, axis=1)
    model = f.model(y, rank=4)
    assert (compare(model, tmp_path) is None) == (scales[0] != scales[1])
