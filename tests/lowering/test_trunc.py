# SPDX-License-Identifier: Apache-2.0
"""Trunc, both versions, against the public executor on every code of the input."""

import numpy as np
import onnx
import pytest
from comparison import real_values
from qonnx_files import DOMAIN, QonnxFile, execute

from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.integer import IntegerNetwork, SumPool, Threshold, run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly

ROUNDING = ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]


def check(f: QonnxFile, output: str, tmp_path, x: np.ndarray, version: int) -> IntegerNetwork:
    model = f.model(output, rank=x.ndim)
    (domain,) = (entry for entry in model.opset_import if entry.domain == DOMAIN)
    domain.version = version
    onnx.save(model, tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    expected = execute(tmp_path / "net.onnx", x.astype(np.float32))
    assert np.array_equal(network.real_output(run(network, x.astype(np.float32))), expected)
    return network


def constants(f: QonnxFile, *values: object) -> list[str]:
    return [f.constant(value) for value in values]


@pytest.mark.parametrize("rounding", ROUNDING)
@pytest.mark.parametrize(("shift", "zero_point"), [(3, 0), (1, 2), (0, 0), (-1, 0), (2, -0.5)])
def test_version_1_on_every_code(rounding, shift, zero_point, tmp_path):
    f = QonnxFile((256,))
    x = f.quant("x", 0.25, 8)
    inputs = constants(f, 0.25, zero_point, 8 + shift, 8)
    y = f.node("Trunc", x, *inputs, rounding_mode=rounding)
    network = check(f, y, tmp_path, np.arange(-128, 128)[np.newaxis] / 4, version=1)
    used = run(network, np.arange(-128, 128, dtype=np.float32)[np.newaxis] / 4)
    codes = network.output_tensor.range
    assert (codes.low, codes.high) == (used.min(), used.max())


@pytest.mark.parametrize("rounding", ROUNDING)
@pytest.mark.parametrize(
    ("signed", "narrow", "bits", "output_scale", "zero_point"),
    [
        (1, 0, 4, 2.0, 0),
        (1, 1, 3, 1.0, 4),
        (0, 0, 4, 0.5, 0),
        (0, 1, 4, 0.125, 0),
        (1, 0, 1, 4.0, 0),
        (0, 0, 4, 1.25, 0),
    ],
)
def test_version_2_on_every_code(
    rounding, signed, narrow, bits, output_scale, zero_point, tmp_path
):
    f = QonnxFile((256,))
    x = f.quant("x", 0.25, 8)
    inputs = constants(f, 0.25, zero_point, 8, output_scale, bits)
    given = {"rounding_mode": rounding, "signed": signed, "narrow": narrow}
    y = f.node("Trunc", x, *inputs, **given)
    network = check(f, y, tmp_path, np.arange(-128, 128)[np.newaxis] / 4, version=2)
    assert network.output_tensor.range.high - network.output_tensor.range.low < 1 << bits


def test_scales_per_channel(tmp_path):
    f = QonnxFile((3, 64))
    scales = np.array([0.25, 0.5, 1.0]).reshape(3, 1)
    inputs = constants(f, scales, 0, 8, scales * 4, 4)
    y = f.node("Trunc", f.quant("x", 0.25, 8), *inputs, signed=1, rounding_mode="floor")
    check(f, y, tmp_path, np.arange(-96, 96).reshape(1, 3, 64) / 4, version=2)


def test_of_the_real_input(tmp_path):
    """Version 2 has limits of its own; version 1 needs integers, whose limits it keeps."""
    f = QonnxFile((200,))
    y = f.node("Trunc", "x", *constants(f, 0.5, 0, 8, 2.0, 4), signed=1, rounding_mode="FLOOR")
    check(f, y, tmp_path, np.arange(-100, 100)[np.newaxis] / 8, version=2)
    f.nodes.clear()
    y = f.node("Trunc", "x", *constants(f, 0.5, 0, 8, 6), rounding_mode="FLOOR")
    with pytest.raises(UserError, match="real input"):
        lower(f.save(y, tmp_path / "net.onnx"))


def test_average_pooling(tmp_path):
    """The sum of four 3-bit codes has 5 bits; two fewer are the average, rounded down."""
    f = QonnxFile((2, 6, 6))
    y = f.node("AveragePool", f.quant("x", 0.5, 3, signed=0), kernel_shape=[2, 2], strides=[2, 2])
    y = f.node("Trunc", y, *constants(f, 0.125, 0, 5, 0.5, 3), signed=0, rounding_mode="FLOOR")
    x = np.random.default_rng(0).integers(0, 9, (10, 2, 6, 6)) / 2
    network = check(f, y, tmp_path, x, version=2)
    assert [type(node) for node in network.nodes] == [SumPool, Threshold]
    assert np.array_equal(network.nodes[1].thresholds, [[4, 8, 12, 16, 20, 24, 28]])
    (became,) = (
        node.became
        for layer in explain(tmp_path / "net.onnx").layers
        for node in layer.nodes
        if node.operator == "Trunc"
    )
    assert became == "round(x / 2^bits); comparisons only: 7 thresholds, codes 0..7"


def test_brevitas_average_pooling(tmp_path):
    import torch
    from brevitas import nn
    from brevitas.export import export_qonnx

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        nn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        nn.QuantConv2d(2, 4, 3, bias=False, weight_bit_width=3, return_quant_tensor=True),
        nn.QuantReLU(bit_width=4, return_quant_tensor=True),
        nn.TruncAvgPool2d(2, bit_width=4, return_quant_tensor=False),
    )
    for _ in range(5):
        network(torch.randn(16, 2, 6, 6))
    path = tmp_path / "net.onnx"
    export_qonnx(network.eval(), args=torch.randn(1, 2, 6, 6), export_path=str(path))
    model, lowered = onnx.load(path), lower(path)
    assert "Trunc" in {node.op_type for node in model.graph.node}
    x = torch.randn(10, 2, 6, 6)
    integers = run(lowered, x.numpy())
    with torch.no_grad():
        close = np.isclose(lowered.real_output(integers), network(x).numpy(), atol=1e-5)
    assert close.mean() > 0.95
    for sample, row in zip(x.numpy(), integers, strict=True):
        exact = execute_exactly(model, sample)[0]
        assert np.array_equal(real_values(lowered.output_tensor, row), exact)
