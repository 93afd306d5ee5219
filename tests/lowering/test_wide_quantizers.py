# SPDX-License-Identifier: Apache-2.0
"""Networks with quantizers of 11 to 32 bits against exact rationals, and what they become."""

import time

import numpy as np
import onnx
import pytest
from qonnx_files import QonnxFile

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.fpga.mappable import obstacles
from qdeploy.integer import Requantize, Threshold, load, run, save
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly


def network(
    bits: int,
    *,
    fixed_point: bool,
    layers: int = 2,
    channels: int = 3,
    before: str = "Relu",
    rounding: str = "ROUND",
    input_bits: int = 10,
) -> tuple[QonnxFile, str]:
    """Convolution, bias, batch normalization, function and quantizer, `layers` times."""
    rng, f = np.random.default_rng(bits), QonnxFile((channels, 6, 6))
    x = f.quant("x", 2.0**-8 if fixed_point else 0.0037, input_bits)
    for layer in range(layers):
        scale = 2.0**-6 if fixed_point else rng.uniform(0.005, 0.02, (channels, 1, 1, 1))
        w = f.quant(f.constant(rng.normal(size=(channels, channels, 3, 3))), scale, 8, narrow=1)
        bias = f.constant(rng.normal(size=channels))
        bias = f.quant(bias, 2.0**-14, 16) if fixed_point else bias
        x = f.node("Conv", x, w, bias, pads=[1] * 4, name=f"/conv{layer}/Conv")
        if not fixed_point:
            gamma, beta, mean = rng.normal(size=(3, channels))
            statistics = [gamma, beta, mean, np.full(channels, 0.75**2 - 2.0**-10)]
            x = f.node(
                "BatchNormalization", x, *map(f.constant, statistics), epsilon=2.0**-10,
                name=f"/bn{layer}/BatchNormalization",
            )  # fmt: skip
        if before:
            x = f.node(before, x, name=f"/act{layer}/{before}")
        x = f.quant(
            x,
            2.0 ** (4 - bits) if fixed_point else 24.7 * 2.0**-bits,
            bits,
            signed=int(before != "Relu"),
            rounding=rounding,
            name=f"/act{layer}/Quant",
        )
    return f, x


def check(f: QonnxFile, output: str, tmp_path, samples: int = 2):
    """Equal to exact rationals, and the CPU model to that; returns the integer network."""
    path = f.save(output, tmp_path / "net.onnx", rank=len(f.input_shape) + 1)
    lowered = lower(path)
    x = np.random.default_rng(1).normal(scale=1.5, size=(samples, *f.input_shape))
    x = x.astype(np.float32)
    integers = run(lowered, x)
    meaning = lowered.output_tensor.meaning
    (scale,), (offset,) = meaning.scale, meaning.offset
    for sample, result in zip(x, integers, strict=True):
        expected = execute_exactly(onnx.load(path), sample)[0]
        real = result.astype(object) * scale + offset
        assert (real == expected).all()
        assert len(set(result.ravel().tolist())) > result.size // 8, "saturated: nothing is tested"
    save(lowered, tmp_path / "integer.npz")
    assert np.array_equal(run(load(tmp_path / "integer.npz"), x), integers)
    pack(lowered, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)
    return lowered


@pytest.mark.parametrize("fixed_point", [True, False])
@pytest.mark.parametrize("before", ["Relu", ""])
@pytest.mark.parametrize("bits", [11, 12, 16, 18, 20])
def test_wide_activations_are_exact_without_thresholds(bits, before, fixed_point, tmp_path):
    lowered = check(*network(bits, fixed_point=fixed_point, before=before), tmp_path)
    assert {type(node).__name__ for node in lowered.nodes} == {"Convolution", "Requantize"}
    assert (tmp_path / "cpu.onnx").stat().st_size < 20_000


def test_24_bit_activations_in_fixed_point(tmp_path):
    check(*network(24, fixed_point=True, layers=1), tmp_path)


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_rounding_modes_in_fixed_point(rounding, tmp_path):
    f, output = network(14, fixed_point=True, before="", rounding=rounding)
    lowered = check(f, output, tmp_path)
    kinds = {n.quotient.rounding for n in lowered.nodes if isinstance(n, Requantize)}
    assert kinds == {rounding}


def test_18_bit_input(tmp_path):
    lowered = check(*network(12, fixed_point=True, layers=1, input_bits=18), tmp_path)
    assert lowered.input_tensor.range.bits == 18


def test_zero_points_and_padding(tmp_path):
    f = QonnxFile((2, 4, 4))
    y = f.quant(f.quant("x", 2.0**-6, 8), 2.0**-7, 16, signed=0, zero_point=32768)
    w = f.quant(f.constant(np.random.default_rng(0).normal(size=(2, 2, 3, 3))), 0.25, 4)
    y = f.node("Conv", y, w, pads=[1] * 4)
    check(f, f.quant(y, 2.0**-5, 11, rounding="FLOOR"), tmp_path)


def test_leaky_relu_falls_back_to_thresholds(tmp_path):
    f, output = network(11, fixed_point=True, before="LeakyRelu", layers=1)
    lowered = check(f, output, tmp_path)
    assert isinstance(lowered.nodes[-1], Threshold)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_wide_bias(bits, tmp_path):
    f = QonnxFile((3,))
    rng = np.random.default_rng(bits)
    w = f.quant(f.constant(rng.normal(size=(4, 3))), 0.25, 4)
    bias = f.quant(f.constant(rng.normal(size=4)), 2.0 ** (2 - bits), bits)
    y = f.node("Gemm", f.quant("x", 0.25, 4), w, bias, transB=1)
    check(f, f.quant(y, 2.0**-10, 16), tmp_path)


@pytest.mark.parametrize(
    ("bits", "before", "message"),
    [
        (24, "LeakyRelu", r"layer 'act0': .* 24 bits .*(boundaries|thresholds)"),
        (33, "", r"layer 'act0': .* 33 bits"),
    ],
)
def test_refusals(bits, before, message, tmp_path):
    f, output = network(bits, fixed_point=True, before=before, layers=1)
    with pytest.raises(UserError, match=message):
        lower(f.save(output, tmp_path / "net.onnx", rank=4))


def test_wide_input_is_refused(tmp_path):
    f, output = network(12, fixed_point=True, input_bits=19)
    with pytest.raises(UserError, match=r"(?s)19 bits has too many boundaries.*at most 18"):
        lower(f.save(output, tmp_path / "net.onnx", rank=4))


def test_what_is_said_about_it(tmp_path):
    f, output = network(16, fixed_point=False, layers=1)
    path = f.save(output, tmp_path / "net.onnx", rank=4)
    nodes = {n.operator: n.became for layer in explain(path).layers for n in layer.nodes}
    assert nodes["BatchNormalization"].endswith("absorbed into the factors × 3 channels of 'act0'")
    (obstacle,) = obstacles(lower(path))
    assert (obstacle.layer, "up to 10 bits" in obstacle.problem) == ("act0", True)


@pytest.mark.parametrize(
    ("bits", "fixed_point", "layers", "channels"), [(18, True, 20, 64), (16, False, 5, 256)]
)
def test_many_layers_lower_in_seconds(bits, fixed_point, layers, channels, tmp_path):
    f, output = network(bits, fixed_point=fixed_point, layers=layers, channels=channels)
    path = f.save(output, tmp_path / "net.onnx", rank=4)
    start = time.process_time()
    lowered = lower(path)
    assert time.process_time() - start < 5
    parameters = sum(
        values.size
        for node in lowered.nodes
        if isinstance(node, Requantize)
        for values in (node.quotient.multiplier, node.quotient.addend, node.quotient.divisor)
    )
    assert parameters <= 3 * layers * channels
