# SPDX-License-Identifier: Apache-2.0
"""Valid files with random damage are refused, or compute exactly what they say."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from comparison import inputs, real_values
from limits import limited
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly

# Of each of three files.
MUTATIONS = 2000


def picture() -> onnx.ModelProto:
    """Two convolutions, a residual sum, pooling and a layer with bias."""
    rng = np.random.default_rng(0)
    f = QonnxFile((2, 4, 4))
    x = f.quant("x", 0.125, 4, signed=0)
    w = f.quant(f.constant(rng.normal(size=(2, 2, 3, 3))), 0.5, 2, narrow=1)
    y = f.node("Conv", x, w, pads=[1, 1, 1, 1])
    y = f.node("Mul", y, f.constant(rng.normal(size=(1, 2, 1, 1))))
    y = f.node("Add", y, f.constant(rng.normal(size=(2, 1, 1))))
    y = f.quant(f.node("Relu", y), 0.25, 2, signed=0)
    y = f.node("Add", y, f.quant(x, 0.5, 3))
    y = f.quant(f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.25, 3)
    w = f.bipolar(f.constant(rng.normal(size=(3, 8))), 0.5)
    y = f.node("Gemm", f.node("Flatten", y), w, f.constant(rng.normal(size=3)), transB=1)
    return f.model(y)


def table() -> onnx.ModelProto:
    """Fully connected layers, a computed shape, and scales per output channel."""
    rng = np.random.default_rng(1)
    f = QonnxFile((2, 3))
    x = f.quant(f.node("Sub", "x", f.constant(0.5)), 0.25, 3)
    target = f.node("Concat", f.constant([1], np.int64), f.constant([-1], np.int64), axis=0)
    x = f.node("Reshape", x, target)
    w = f.quant(f.constant(rng.normal(size=(6, 4))), rng.random((1, 4)) + 0.1, 3)
    y = f.bipolar(f.node("MatMul", x, w), 1.0)
    w = f.quant(f.constant(rng.normal(size=(2, 4))), 0.25, 4)
    return f.model(f.node("MatMul", y, f.node("Transpose", w, perm=[1, 0])))


def dialects() -> onnx.ModelProto:
    """QuantizeLinear to DequantizeLinear, integer weights, Trunc and MultiThreshold."""
    rng = np.random.default_rng(2)
    f = QonnxFile((2, 4, 4))
    x = f.qcdq("x", 0.25, zero_point=3, dtype=np.uint8, limits=(0, 15))
    w = f.dequantized(rng.integers(-7, 8, (2, 2, 3, 3)), [0.5, 0.25])
    bias = f.dequantized([40, -9], [0.125, 0.0625], dtype=np.int32)
    y = f.qcdq(f.node("Conv", x, w, bias), [0.5, 1.0], limits=(-8, 7), axis=1)
    y = f.quant(f.node("AveragePool", y, kernel_shape=[2, 2]), 0.25, 6)
    y = f.node("Trunc", y, *map(f.constant, (0.25, 0.0, 6.0, 1.0, 3.0)), rounding_mode="ROUND")
    y = f.node("MatMul", f.node("Flatten", y), f.constant(rng.integers(-1, 2, (2, 3))))
    thresholds = f.constant(rng.integers(-6, 7, (3, 4)) / 2)
    return f.model(f.node("MultiThreshold", y, thresholds, out_scale=2.0, out_dtype="INT4"))


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes: a byte, a bit, a piece cut out, doubled or overwritten."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(len(data)))
        end = start + int(rng.integers(1, 9))
        kind = rng.integers(8)
        if kind == 0:
            del data[start:end]
        elif kind == 1:
            data[start:start] = data[start:end]
        elif kind == 2:
            data[start:end] = rng.bytes(end - start)
        elif kind == 3:
            data[start] ^= 1 << int(rng.integers(8))
        else:
            data[start] = rng.integers(256)
    return bytes(data)


@pytest.mark.parametrize("make", [picture, table, dialects])
def test_mutations(make, tmp_path):
    whole = make().SerializeToString()
    rng = np.random.default_rng(0)
    outcome = Counter()
    for number in range(MUTATIONS):
        data = damaged(whole, rng)
        with limited(seconds=5, megabytes=512):
            outcome[attempt(data, tmp_path / "mutant.onnx", f"mutation {number}")] += 1
    assert not outcome["without remedy"]
    assert outcome["refused"] > MUTATIONS / 4
    assert outcome["equal"] > MUTATIONS / 20


def attempt(data: bytes, path: Path, name: str) -> str:
    path.write_bytes(data)
    try:
        network = lower(path)
    except UserError as error:
        return "refused" if error.remedy else "without remedy"
    model = onnx.ModelProto.FromString(data)
    for sample in inputs(network, 2):
        result = run(network, sample)[0]
        meant = real_values(network.output_tensor, result)
        assert np.array_equal(meant, execute_exactly(model, sample)[0]), name
    return "equal"
