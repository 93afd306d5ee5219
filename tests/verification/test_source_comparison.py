# SPDX-License-Identifier: Apache-2.0
"""The source file against the integers: float32 shows differences, exact rationals decide."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from qonnx_files import QonnxFile, execute
from typer.testing import CliRunner

from qdeploy.cli import app
from qdeploy.cpu import pack
from qdeploy.errors import InternalError
from qdeploy.integer import IntegerNetwork, Meaning, Threshold, run
from qdeploy.lowering import lower
from qdeploy.verification import Samples, Verification, compare_source, random_data, verify
from qdeploy.verification.targets import verify_file


def beyond_float32(path: Path) -> Path:
    """quantize(x0 · 4096 + x1 - 2^24): one more than 2^24 is no float32."""
    f = QonnxFile((2,))
    x = f.quant("x", 1.0, 14, signed=0)
    w = f.quant(f.constant([[4096.0], [1.0]]), 1.0, 16)
    y = f.node("MatMul", x, w, name="/fc/MatMul")
    y = f.node("Sub", y, f.constant(2.0**24), name="/shift/Sub")
    return f.save(f.quant(y, 1.0, 4, name="/act/Quant"), path)


def cli(*arguments: object) -> str:
    answer = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert answer.exit_code == 0, answer.output
    return answer.output


def verify_with(network: IntegerNetwork, path: Path, x: np.ndarray) -> Verification:
    packed = path.with_name("cpu.onnx")
    pack(network, packed)
    return verify(network, Samples(x.astype(np.float32), None), packed, source=path)


def test_float32_is_off_and_the_integers_are_right(tmp_path):
    path = beyond_float32(tmp_path / "net.onnx")
    x = np.array([[4096, low] for low in range(8)], np.float32)
    expected = np.arange(8)  # 4 bits hold -8..7
    wrong = execute(path, x)[:, 0] != expected
    assert wrong.any()
    np.savez(tmp_path / "data.npz", x=x)
    found = json.loads(cli("verify", path, "--data", tmp_path / "data.npz", "--json"))
    source = found["source"]
    assert source["frames"] == 8
    assert source["differing"] == source["proven"] == wrong.sum()
    assert source["largest_error"] == 1
    for difference in source["differences"]:
        assert wrong[difference["sample"]]
        assert difference["exact"] == difference["integers"] == expected[difference["sample"]]
        assert difference["float32"] != difference["exact"]
    assert found["compared"] == ["cpu"]
    text = " ".join(cli("verify", path, "--data", tmp_path / "data.npz").split())
    assert f"in {wrong.sum()} of 8 samples float32 execution" in text
    assert "there float32 is wrong" in text


def test_extremes_are_those_of_the_data(tmp_path):
    path = beyond_float32(tmp_path / "net.onnx")
    x = np.array([[4000, 3], [17, 0], [4096, 2]], np.float32)
    found = verify_with(lower(path), path, x)
    fc = next(tensor for tensor in found.extremes if tensor.kind == "Linear")
    assert (fc.low, fc.high) == (0, 16383 * 4097)
    assert (fc.observed_low, fc.observed_high) == (17 * 4096, 4096 * 4096 + 2)
    assert (fc.bits, fc.observed_bits) == (27, 25)


def tampered_threshold(network: IntegerNetwork) -> IntegerNetwork:
    nodes = tuple(
        dataclasses.replace(node, thresholds=node.thresholds + 1)
        if isinstance(node, Threshold)
        else node
        for node in network.nodes
    )
    return dataclasses.replace(network, nodes=nodes)


def tampered_scale(network: IntegerNetwork) -> IntegerNetwork:
    meaning = Meaning((network.output_tensor.meaning.scale[0] * Fraction(1_000_001, 1_000_000),))
    output = dataclasses.replace(network.output_tensor, meaning=meaning)
    return dataclasses.replace(network, tensors=network.tensors | {network.output: output})


@pytest.mark.parametrize("tamper", [tampered_threshold, tampered_scale])
def test_wrong_integers_are_caught(tmp_path, tamper):
    path = beyond_float32(tmp_path / "net.onnx")
    network = lower(path)
    x = np.array([[4096, 0], [4096, 1], [4096, 5]])
    verify_with(network, path, x)
    with pytest.raises(InternalError, match=r"do not mean what the source file says: sample [01]"):
        verify_with(tamper(network), path, x)


def logits(f: QonnxFile, **normalization: float) -> str:
    rng = np.random.default_rng(0)
    x = f.quant("x", 0.1, 4)
    w = f.quant(f.constant(rng.normal(size=(6, 5))), 0.3, 3)
    y = f.node("MatMul", x, w)
    parameters = [rng.normal(size=5), rng.normal(size=5), rng.normal(size=5), rng.random(5) + 1]
    if normalization:
        y = f.node("BatchNormalization", y, *map(f.constant, parameters), **normalization)
    return y


@pytest.mark.parametrize("function", ["Softmax", "Sigmoid"])
def test_a_function_at_the_end_is_left_out(tmp_path, function):
    f = QonnxFile((6,))
    y = f.node(function, logits(f), **({"axis": 1} if function == "Softmax" else {}))
    if function == "Sigmoid":
        y = f.node("Reshape", y, f.constant([1, 5], np.int64))
    path = f.save(y, tmp_path / "net.onnx")
    found = verify_file(path)
    assert found.source is not None
    assert (found.source.differing, found.source.exact_frames) == (0, 4)
    assert 0 < found.source.largest_error < 1e-5


def test_irrational_roots_at_the_output_are_no_difference(tmp_path):
    f = QonnxFile((6,))
    path = f.save(logits(f, epsilon=1e-3), tmp_path / "net.onnx")
    found = verify_file(path)
    assert (found.source.frames, found.source.differing, found.source.exact_frames) == (64, 0, 4)


def test_classes_are_compared_as_classes(tmp_path):
    f = QonnxFile((6,))
    path = f.save(logits(f), tmp_path / "net.onnx")
    network = lower(path, result="class")
    comparison, _ = compare_source(path, network, random_data(network))
    # Float32 may break a tie between two logits.
    assert comparison.frames == 64
    assert comparison.exact_frames >= 4
    assert comparison.differing == comparison.proven <= 2
    assert comparison.largest_error is None
    codes = network.nodes[0].weights.planes[0].codes
    network.nodes[0].weights.planes[0].codes[:] = np.roll(codes, 1, axis=0)
    with pytest.raises(InternalError, match="do not mean"):
        compare_source(path, network, random_data(network))


def test_indices_per_position_are_compared(tmp_path):
    f, rng = QonnxFile((2, 4, 4)), np.random.default_rng(0)
    w = f.quant(f.constant(rng.normal(size=(3, 2, 1, 1))), 0.3, 4)
    y = f.node("Conv", f.quant("x", 0.1, 8), w, name="/conv/Conv")
    model = f.model(f.node("ArgMax", y, axis=1, name="/best/ArgMax"), rank=4)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    found = verify_file(path)
    assert found.source is not None
    assert found.source.frames == 64
    assert found.source.exact_frames >= 4
    assert found.source.differing == found.source.proven


def test_numbers_of_an_input_type_are_exact(tmp_path):
    """1/255 is no float32; the integers mean 1/255."""
    f = QonnxFile((3,))
    w = f.quant(f.constant([[1.0], [-1.0], [1.0]]), 1.0, 2)
    path = f.save(f.node("MatMul", "x", w, name="/fc/MatMul"), tmp_path / "net.onnx")
    found = verify_file(path, input_type="uint8/255")
    assert found.source is not None
    assert (found.source.frames, found.source.differing, found.source.exact_frames) == (64, 0, 4)
    assert 0 < found.source.largest_error < 1e-6


def rescaled(path: Path) -> Path:
    f = QonnxFile((3,))
    x = f.quant("x", 0.5, 3)
    return f.save(f.node("Add", f.quant(x, 0.0973, 4), x, name="/add/Add"), path)


def test_error_of_rounded_scales_is_measured(tmp_path):
    path = rescaled(tmp_path / "net.onnx")
    x = (np.random.default_rng(0).integers(-6, 7, (30, 3)) / 4).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    network = lower(path, rescale_bits=3)
    got, expected = network.real_output(run(network, x)), execute(path, x)
    found = json.loads(
        cli("verify", path, "--data", tmp_path / "data.npz", "--rescale-bits", 3, "--json")
    )
    measured = found["rescaling"]
    assert measured["frames"] == 30
    assert not measured["random"]
    assert measured["largest"] == pytest.approx(np.abs(got - expected).max(), rel=1e-4)
    assert measured["mean"] == pytest.approx(np.abs(got - expected).mean(), rel=1e-4)
    assert measured["spread"] == pytest.approx(np.ptp(expected), rel=1e-4)
    changed = (got.argmax(axis=1) != expected.argmax(axis=1)).sum()
    assert measured["changed_classes"] == changed
    output = tmp_path / "integer.npz"
    options = ("--rescale-bits", 3, "-o", output)
    with_data = cli("lower", path, "--data", tmp_path / "data.npz", *options)
    assert "measured on 30 samples against exact rationals" in with_data
    without = cli("lower", path, *options)
    assert "measured on 64 random samples" in without


def test_explain_takes_rescale_bits(tmp_path):
    path = rescaled(tmp_path / "net.onnx")
    assert CliRunner().invoke(app, ["explain", str(path)]).exit_code == 2
    explained = json.loads(cli("explain", path, "--rescale-bits", 3, "--json"))
    assert explained["lowers"]
    assert "rounded to 3 bits" in explained["notes"][0]
    assert "but not exactly" in " ".join(cli("explain", path, "--rescale-bits", 3).split())
