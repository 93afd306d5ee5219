# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear, Clip, DequantizeLinear against ONNX Runtime, and files of public exporters."""

import numpy as np
import onnx
import onnxruntime
import pytest
from comparison import real_values
from qonnx_files import DOMAIN, QonnxFile

from qdeploy.explanation import explain
from qdeploy.integer import IntegerNetwork, Threshold, run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly


def runtime(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """ONNX Runtime without rewriting the graph, sample by sample."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: sample[np.newaxis]})[0] for sample in x])


def check(f: QonnxFile, output: str, tmp_path, rank: int, opset: int = 13) -> IntegerNetwork:
    """Inputs on a grid of 1/4: with dyadic scales every float32 step of the runtime is exact."""
    model = f.model(output, rank)
    kept = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.opset_import[0].version = opset
    model.ir_version = 10
    onnx.save(model, tmp_path / "net.onnx")
    x = np.random.default_rng(3).integers(-40, 41, (16, *f.input_shape)) / 4
    network = lower(tmp_path / "net.onnx")
    expected = runtime(model, x.astype(np.float32))
    assert np.array_equal(network.real_output(run(network, x.astype(np.float32))), expected)
    return network


@pytest.mark.parametrize(
    ("dtype", "limits", "zero_point"),
    [
        (np.int8, None, 0),
        (np.int8, (-8, 7), 0),
        (np.int8, (-7, 7), 3),
        (np.int8, (-1, 1), -1),
        (np.uint8, (0, 15), 5),
        (np.uint8, (0, 1), 0),
        (np.uint8, None, 255),
    ],
)
@pytest.mark.parametrize("behind_a_layer", [False, True])
def test_activations(dtype, limits, zero_point, behind_a_layer, tmp_path):
    """Ties round to the even k before the zero point is added, which an odd one tells apart."""
    f = QonnxFile((3, 2))
    x = "x"
    if behind_a_layer:
        x = f.node("Mul", f.qcdq("x", 0.25), f.constant(np.array([1, -1, 0.5]).reshape(3, 1)))
    check(f, f.qcdq(x, 0.5, dtype=dtype, limits=limits, zero_point=zero_point), tmp_path, 3)


def test_a_clip_needs_no_thresholds_of_its_own(tmp_path):
    f = QonnxFile((3,))
    y = f.qcdq(f.qcdq("x", 0.25), 0.5, limits=(-4, 3))
    network = check(f, y, tmp_path, 2)
    (threshold,) = network.nodes
    assert isinstance(threshold, Threshold)
    assert threshold.thresholds.shape == (1, 7)


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("zero_point", [0, [3, -1, 0]])
def test_activation_scales_along_an_axis(axis, zero_point, tmp_path):
    f = QonnxFile((3, 3))
    x = f.qcdq("x", 0.25)
    check(f, f.qcdq(x, [0.5, 0.25, 1.0], zero_point=zero_point, axis=axis), tmp_path, 3)


@pytest.mark.parametrize(
    ("dtype", "zero_point", "opset"),
    [
        (onnx.TensorProto.INT4, 3, 21),
        (onnx.TensorProto.UINT4, 3, 21),
        (onnx.TensorProto.INT16, 0, 21),
        (onnx.TensorProto.UINT16, 32768, 21),
        (onnx.TensorProto.UINT8, 3, 10),
    ],
)
def test_types_and_operator_sets(dtype, zero_point, opset, tmp_path):
    f = QonnxFile((3,))
    f.initializers.append(onnx.helper.make_tensor("zero", dtype, [], [zero_point]))
    codes = f.node("QuantizeLinear", "x", f.constant(0.5), "zero")
    check(f, f.node("DequantizeLinear", codes, f.constant(0.5), "zero"), tmp_path, 2, opset)


def test_domain_of_onnx_runtime(tmp_path):
    """It keeps 16 bits there in files of older operator sets."""
    f = QonnxFile((3,))
    f.qcdq("x", 0.5, dtype=np.int16)
    for node in f.nodes:
        node.domain = "com.microsoft"
    check(f, f.nodes[-1].output[0], tmp_path, 2)


def test_codes_may_move_between_the_two(tmp_path):
    f = QonnxFile((2, 4, 4))

    def moved(codes: str) -> str:
        codes = f.node("MaxPool", codes, kernel_shape=[2, 2], strides=[2, 2])
        codes = f.node("Transpose", codes, perm=[0, 2, 3, 1])
        return f.node("Reshape", codes, f.constant([1, 8], np.int64))

    y = f.qcdq("x", 0.5, zero_point=2, limits=(-8, 7), between=moved)
    w = f.dequantized(np.random.default_rng(0).integers(-1, 2, (8, 3)), 0.5)
    check(f, f.node("MatMul", y, w), tmp_path, 2)


@pytest.mark.parametrize("stored", ["real", "integer"])
def test_weights_and_biases(stored, tmp_path):
    f, rng = QonnxFile((2, 5, 5)), np.random.default_rng(1)
    codes, scales = rng.integers(-7, 8, (3, 2, 3, 3)), [0.5, 0.25, 1.0]
    if stored == "integer":
        w = f.dequantized(codes, scales, zero_point=[1, 0, -2])
    else:
        real = rng.integers(-20, 21, codes.shape) / 8
        w = f.qcdq(f.constant(real), scales, zero_point=[1, 0, -2], limits=(-4, 3), axis=0)
    bias = f.dequantized([100, -3, 7], np.array(scales) / 2, dtype=np.int32)
    x = f.qcdq("x", 0.5, zero_point=3, dtype=np.uint8, limits=(0, 15))
    y = f.node("Conv", x, w, bias, pads=[1, 1, 1, 1])
    check(f, f.qcdq(f.node("Relu", y), 0.5, dtype=np.uint8, limits=(0, 15)), tmp_path, 4)


def test_explanation(tmp_path):
    f = QonnxFile((3,))
    y = f.node("MatMul", f.qcdq("x", 0.25), f.dequantized(np.eye(3), 0.5), name="/fc/MatMul")
    path = f.save(f.qcdq(y, 0.5, limits=(-2, 1)), tmp_path / "net.onnx")
    explanation = explain(path)
    assert explanation.lowers
    became = {n.name: n.became for layer in explanation.layers for n in layer.nodes}
    assert became["QuantizeLinear_0"].endswith("codes -128..127, 1 means 1/4")
    assert became["QuantizeLinear_4"] == "comparisons only: 3 thresholds, codes -2..1"
    assert became["Clip_5"] == "nothing to compute at inference"
    assert became["DequantizeLinear_6"].startswith("scale·(x - zero point): absorbed into the mean")
    assert became["DequantizeLinear_2"].startswith("weights: ternary codes")


def _float_network(path):
    """What ONNX Runtime quantizes below: two convolutions, pooling and a layer."""
    f, rng = QonnxFile((2, 8, 8)), np.random.default_rng(2)
    y = f.node("Relu", f.node("Conv", "x", f.constant(rng.normal(size=(4, 2, 3, 3)))))
    y = f.node("Conv", y, f.constant(rng.normal(size=(4, 4, 3, 3))), f.constant(rng.normal(size=4)))
    y = f.node("Flatten", f.node("MaxPool", f.node("Relu", y), kernel_shape=[2, 2], strides=[2, 2]))
    y = f.node("Gemm", y, f.constant(rng.normal(size=(16, 3))), f.constant(rng.normal(size=3)))
    return f.save(y, path)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["QUInt8", "QInt8"])
def test_static_quantization_of_onnx_runtime(kind, per_channel, tmp_path):
    from onnxruntime import quantization

    class Samples(quantization.CalibrationDataReader):
        def __init__(self):
            rng = np.random.default_rng(3)
            self.samples = iter([{"x": rng.normal(size=(1, 2, 8, 8)).astype(np.float32)}] * 4)

        def get_next(self):
            return next(self.samples, None)

    quantization.quantize_static(
        _float_network(tmp_path / "float.onnx"),
        tmp_path / "net.onnx",
        Samples(),
        per_channel=per_channel,
        activation_type=getattr(quantization.QuantType, kind),
        weight_type=quantization.QuantType.QInt8,
    )
    _agrees_with_the_runtime(tmp_path / "net.onnx", (2, 8, 8))


def _agrees_with_the_runtime(path, shape) -> None:
    """Exact rationals decide; float32 may fall on the other side of a boundary now and then."""
    model, network = onnx.load(path), lower(path)
    x = np.random.default_rng(4).normal(size=(40, *shape)).astype(np.float32)
    integers = run(network, x)
    close = np.isclose(network.real_output(integers), runtime(model, x), rtol=1e-4, atol=1e-4)
    assert close.mean() > 0.9
    for sample, row in zip(x[:4], integers, strict=False):
        exact = execute_exactly(model, sample)[0]
        assert np.array_equal(real_values(network.output_tensor, row), exact)


@pytest.mark.parametrize("opset", [13, 18])
def test_brevitas_export(opset, tmp_path):
    import torch
    from brevitas import nn, quant
    from brevitas.export import export_onnx_qcdq

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        nn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        nn.QuantConv2d(
            2, 4, 3, padding=1, weight_bit_width=4, return_quant_tensor=True,
            weight_quant=quant.Int8WeightPerChannelFloat, bias_quant=quant.Int32Bias,
        ),
        nn.QuantReLU(bit_width=3, return_quant_tensor=True),
        torch.nn.MaxPool2d(2),
        nn.QuantIdentity(act_quant=quant.ShiftedUint8ActPerTensorFloat, bit_width=4),
        torch.nn.Flatten(),
        nn.QuantLinear(36, 5, bias=True, weight_bit_width=2),
    )  # fmt: skip
    for _ in range(5):
        network(torch.randn(16, 2, 6, 6) + 0.5)
    path = tmp_path / "net.onnx"
    example = torch.randn(1, 2, 6, 6)
    export_onnx_qcdq(
        network.eval(), args=example, export_path=str(path), opset_version=opset, dynamo=False
    )
    _agrees_with_the_runtime(path, (2, 6, 6))
