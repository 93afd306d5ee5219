# SPDX-License-Identifier: Apache-2.0
"""Indices of the largest values, against exact rationals: ties, biases and scales per class."""

import numpy as np
import pytest
from comparison import compare
from qonnx_files import QonnxFile

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.fpga.mappable import obstacles
from qdeploy.integer import ArgMax, Requantize, run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly

CLASSES = 7


def logits(f: QonnxFile, seed: int, scale: np.ndarray, bias: np.ndarray | None) -> str:
    codes = np.random.default_rng(seed).integers(-1, 2, (5, CLASSES))
    weights = f.quant(f.constant(codes * scale), scale, 2, narrow=1)
    y = f.node("MatMul", f.quant("x", 0.5, 3), weights)
    return y if bias is None else f.node("Add", y, f.constant(bias))


def scales_and_biases(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    if kind == "equal":
        return np.float32([0.25]), None
    if kind == "biases":  # two of them equal but for a step: ties occur
        bias = rng.normal(size=CLASSES).astype(np.float32)
        bias[3], bias[5] = bias[1], bias[1] + np.float32(0.25)
        return np.float32([0.25]), bias
    return rng.uniform(0.1, 0.9, (1, CLASSES)).astype(np.float32), rng.normal(size=CLASSES)


@pytest.mark.parametrize("count", [1, 3, CLASSES])
@pytest.mark.parametrize("kind", ["equal", "biases", "scales and biases"])
@pytest.mark.parametrize("seed", range(3))
def test_indices_of_the_largest(seed, kind, count, tmp_path):
    f, rng = QonnxFile((5,)), np.random.default_rng(seed)
    y = logits(f, seed, *scales_and_biases(kind, rng))
    f.node("TopK", y, f.constant([count], np.int64), axis=1)
    f.nodes[-1].output.append("indices")
    network = compare(f.model("indices"), tmp_path, samples=20)
    assert network is not None
    assert network.output_tensor.shape == (count,)
    assert isinstance(network.nodes[-1], ArgMax)
    assert any(isinstance(node, Requantize) for node in network.nodes) == (kind != "equal")
    assert bool(list(obstacles(network))) == (kind != "equal")


@pytest.mark.parametrize("kind", ["equal", "biases", "scales and biases"])
def test_class_of_logits(kind, tmp_path):
    f, rng = QonnxFile((5,)), np.random.default_rng(4)
    model = f.model(logits(f, 4, *scales_and_biases(kind, rng)))
    f.save(f.nodes[-1].output[0], tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx", result="class")
    pack(network, tmp_path / "cpu.onnx")
    x = (rng.integers(-8, 9, (30, 5)) / 4).astype(np.float32)
    expected = []
    for sample in x:
        values = list(execute_exactly(model, sample)[0])
        expected.append([values.index(max(values))])
    assert np.array_equal(run(network, x), expected)
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), expected)


def test_scales_that_need_too_many_bits_are_refused(tmp_path):
    f, scale = QonnxFile((5,)), np.float32([[1, 2.0**-30, 2.0**-60, 1, 1, 1, 1]])
    path = f.save(logits(f, 0, scale, None), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"layer 'class': .*would need \d\d bits to compare"):
        lower(path, result="class")
