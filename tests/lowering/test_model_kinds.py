# SPDX-License-Identifier: Apache-2.0
"""Files as other tools write them become integers that mean exactly what the file says."""

from importlib import resources

import numpy as np
import onnx
import pytest
from comparison import real_values
from model_kinds import KINDS
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.util.cleanup import cleanup_model
from qonnx_files import QonnxFile, execute

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.integer import IntegerNetwork, run
from qdeploy.lowering import lower
from qdeploy.rational import execute_exactly


def check(model: onnx.ModelProto, folder, input_type: str | None = None) -> IntegerNetwork:
    """Lowering, its explanation and cpu.onnx against exact rationals, on numbers k / 128."""
    path = folder / "net.onnx"
    onnx.save(model, path)
    network = lower(path, input_type=input_type)
    shape = (3, *network.input_tensor.shape)
    x = (np.random.default_rng(5).integers(-160, 161, shape) / 128).astype(np.float32)
    integers = run(network, x)
    for sample, result in zip(x, integers, strict=True):
        expected = execute_exactly(model, sample)[0]
        assert expected.shape == result.shape
        assert np.array_equal(real_values(network.output_tensor, result), expected)
    pack(network, folder / "cpu.onnx")
    assert np.array_equal(Session(folder / "cpu.onnx", threads=1).run_integers(x), integers)
    explanation = explain(path, input_type=input_type)
    assert explanation.lowers
    operators = [o.name for layer in explanation.layers for o in layer.operators]
    assert sorted(operators) == sorted(node.name for node in network.nodes)
    return network


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_means_what_the_file_says(kind, seed, tmp_path):
    build, input_type = KINDS[kind]
    check(build(np.random.default_rng(seed)), tmp_path, input_type)


@pytest.mark.parametrize("make_input", [False, True], ids=["inside", "input too"])
@pytest.mark.parametrize("kind", ["residual", "separable", "unet", "radio"])
def test_channels_last_without_further_operators(kind, make_input, tmp_path):
    """qonnx's own conversion; what it transposes costs nothing but at the ends."""
    model = KINDS[kind][0](np.random.default_rng(0))
    plain = check(model, tmp_path)
    cleaned = cleanup_model(ModelWrapper(model))
    converted = cleaned.transform(ConvertToChannelsLastAndClean(make_input))
    assert any(n.domain == "qonnx.custom_op.channels_last" for n in converted.graph.node)
    network = check(cleanup_model(converted).model, tmp_path)
    assert len(network.nodes) <= len(plain.nodes) + 3


@pytest.mark.parametrize("shape", [(3, 4, 4), (3,)])
def test_branches_whose_ratio_differs_between_channels(shape, tmp_path):
    """Small ratios are exact; others are refused by name, and rounded with the user's leave."""
    axes = (1, 3) + (1,) * (len(shape) - 1)
    f = QonnxFile(shape)
    x = f.quant("x", np.reshape([0.25, 0.5, 0.125], axes), 4)
    y = f.quant(f.node("Mul", x, f.constant(0.7)), np.reshape([0.5, 0.25, 0.375], axes), 4)
    y = f.quant(f.node("Sub", x, y), 0.5, 4)
    network = check(f.model(y, rank=len(shape) + 1), tmp_path)
    assert network.notes == ()
    f = QonnxFile(shape)
    x = f.quant("x", np.reshape([0.25, 0.51, 0.125], axes), 4)
    y = f.quant(x, np.reshape([0.5, 0.25, 0.3], axes), 4)
    path = f.save(f.node("Add", x, y, name="/join/Add"), tmp_path / "net.onnx", len(shape) + 1)
    with pytest.raises(UserError, match=r"(?s)layer 'join': .*--rescale-bits 8") as refusal:
        lower(path)
    assert "no small rational" in refusal.value.problem
    network = lower(path, rescale_bits=8)
    (note,) = network.notes
    error = float(note.rsplit(" ", 1)[1])
    assert 0 < error < 2**-7
    x = (np.random.default_rng(0).integers(-160, 161, (20, *shape)) / 64).astype(np.float32)
    difference = np.abs(network.real_output(run(network, x)) - execute(path, x))
    assert 0 < difference.max() <= 8 * 0.51 * error * 1.01 + 1e-6


def test_a_relu_that_no_quantizer_follows(tmp_path):
    """Codes are limited where the limits are codes; else the layer behind it is refused."""
    cases = [(0, 1.0, True), (3, 9.0, True), (0.5, 1.0, True), (0, 0.9, False)]
    for zero_point, high, lowers in cases:
        f = QonnxFile((6,))
        x = f.node("Relu", f.quant("x", 0.25, 4, zero_point=zero_point))
        x = f.node("Clip", x, f.constant(-9.0), f.constant(high))
        weights = f.quant(f.constant(np.random.default_rng(1).normal(size=(6, 5))), 0.25, 4)
        model = f.model(f.node("MatMul", x, weights))
        if lowers:
            check(model, tmp_path)
        else:
            onnx.save(model, tmp_path / "net.onnx")
            with pytest.raises(UserError, match="Relu, Clip or LeakyRelu without a quantizer"):
                lower(tmp_path / "net.onnx")


def test_features_of_a_channels_last_image_move_the_weights(tmp_path):
    f, rng = QonnxFile((3, 4, 4)), np.random.default_rng(3)
    x = f.quant("x", np.reshape([0.25, 0.5, 0.125], (1, 3, 1, 1)), 4)
    x = f.node("Reshape", f.node("Transpose", x, perm=[0, 2, 3, 1]), f.constant([1, 48], np.int64))
    scale = 2.0 ** rng.integers(-5, 0, (48, 5))
    y = f.node("MatMul", x, f.quant(f.constant(rng.normal(size=(48, 5))), scale, 4))
    network = check(f.model(y), tmp_path)
    assert [node.kind for node in network.nodes][-2:] == ["Flatten", "Linear"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [("uint8/255", (0, 255)), ("int4", (-8, 7)), ("bipolar", (-1, 1)), ("ufixed<6, 2>", (0, 63))],
)
def test_input_types(text, codes, tmp_path):
    """Every number of the type is its own code; others become the nearest."""
    f = QonnxFile((4,))
    y = f.node("MatMul", "x", f.quant(f.constant(np.eye(4)), 1.0, 3))
    path = f.save(y, tmp_path / "net.onnx")
    with pytest.raises(UserError, match="--input-type"):
        lower(path)
    network = lower(path, input_type=text)
    low, high = codes
    step = 2 if text == "bipolar" else 1
    scale = {"uint8/255": 255, "ufixed<6, 2>": 16}.get(text, 1)
    expected = np.resize(np.arange(low, high + 1, step), (64, 4))
    x = (expected / scale).astype(np.float32)
    assert np.array_equal(run(network, x), expected)
    assert np.array_equal(run(network, x + np.float32(0.4 / scale)), expected)
    for wrong in ("float32", "uint8/0", "uint99", "int8*2", "uint8/1e9"):
        with pytest.raises(UserError, match="no type of an input"):
            lower(path, input_type=wrong)


@pytest.mark.parametrize("last", ["Relu", "Clip"])
def test_functions_before_the_input_quantizer(last, tmp_path):
    f = QonnxFile((5,))
    x = f.node("Add", f.node("Relu", f.node("Mul", "x", f.constant(0.5))), f.constant(-0.25))
    if last == "Clip":
        x = f.node("Clip", x, f.constant(-0.125), f.constant(0.375))
    x = f.quant(x, 0.125, 4)
    check(f.model(f.quant(x, 0.25, 3)), tmp_path)


def test_names_the_layers_of_torch_export(tmp_path):
    f = QonnxFile((4,))
    y = f.node("Erf", f.quant("x", 0.5, 4), name="node_erf_17")
    scopes = "['', 'features', 'features.3', 'features.3.act_quant.impl', 'erf']"
    entry = f.nodes[-1].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", scopes
    with pytest.raises(UserError, match=r"layer 'features\.3'"):
        lower(f.save(y, tmp_path / "net.onnx"))


@pytest.mark.parametrize("convert", [False, True], ids=["as it is", "channels last"])
@pytest.mark.parametrize("name", ["nn_resize", "subpixel"])
def test_super_resolution_files_of_the_qonnx_package(name, convert, tmp_path):
    """Trained ESPCN, w4a4 with scales per channel, on a small picture; no input quantizer."""
    data = resources.files("qonnx") / "data" / "onnx" / "bsd300x3-espcn" / name
    model = onnx.load_from_string((data / "quant_model.onnx").read_bytes())
    for axis, size in ((2, 12), (3, 10)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    del model.graph.value_info[:]
    if convert:
        cleaned = cleanup_model(ModelWrapper(model))
        model = cleanup_model(cleaned.transform(ConvertToChannelsLastAndClean())).model
    onnx.save(model, tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx", input_type="uint8/255")
    x = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 10)).astype(np.float32) / 255
    real = network.real_output(run(network, x))
    expected = execute(tmp_path / "net.onnx", x)
    assert len(np.unique(expected)) > 50
    assert np.array_equal(real, expected)
