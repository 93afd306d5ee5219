# SPDX-License-Identifier: Apache-2.0
"""MultiThreshold, and whole files from the middle of a FINN flow."""

import numpy as np
import pytest
from qonnx_files import QonnxFile, execute
from third_party import mnist_test, models_directory

from qdeploy.errors import UserError
from qdeploy.explanation import explain
from qdeploy.integer import Linear, run
from qdeploy.lowering import lower

THRESHOLDS = [[-1.5, 0.25, 0.5], [3.0, -0.75, 3.0], [-np.inf, 0.0, np.inf]]


@pytest.mark.parametrize(
    ("shape", "layout", "channels"),
    [
        ((3,), "", 3),
        ((3,), "NC", 1),
        ((4, 3), "", 3),
        ((3, 4), "NCW", 3),
        ((3, 2, 5), "", 3),
        ((2, 5, 3), "NHWC", 3),
        ((2, 5, 3), "NHWC", 1),
    ],
)
@pytest.mark.parametrize("behind_a_layer", [False, True])
def test_each_layout_against_the_executor(shape, layout, channels, behind_a_layer, tmp_path):
    """Thresholds in any order, equal ones, infinite ones and ones between integers."""
    f = QonnxFile(shape)
    x = f.quant("x", 0.25, 5) if behind_a_layer else "x"
    if behind_a_layer:
        x = f.node("Mul", x, f.constant(-1.0))
    given = {"out_scale": 2.0, "out_bias": -3.0} | ({"data_layout": layout} if layout else {})
    y = f.node("MultiThreshold", x, f.constant(THRESHOLDS[:channels]), out_dtype="INT4", **given)
    path = f.save(y, tmp_path / "net.onnx", rank=len(shape) + 1)
    samples = (np.random.default_rng(0).integers(-14, 15, (20, *shape)) / 4).astype(np.float32)
    network = lower(path)
    assert np.array_equal(network.real_output(run(network, samples)), execute(path, samples))


def test_integer_weights_need_no_quantizer(tmp_path):
    f, rng = QonnxFile((6,)), np.random.default_rng(1)
    y = f.node("MultiThreshold", "x", f.constant([[0.5, 1.5, 2.5]]), out_dtype="UINT2")
    y = f.node("MatMul", y, f.constant(rng.integers(-1, 2, (6, 4))), name="/fc/MatMul")
    path = f.save(y, tmp_path / "net.onnx")
    x = rng.integers(0, 4, (20, 6)).astype(np.float32)
    network = lower(path)
    assert np.array_equal(network.real_output(run(network, x)), execute(path, x))
    (layer,) = (node for node in network.nodes if isinstance(node, Linear))
    assert layer.weights.planes[0].kind == "ternary"
    (explained,) = explain(path).only("fc").layers[0].nodes
    assert "the file holds its weights as integers (ternary)" in explained.became


@pytest.mark.parametrize("weight", [0.5, 40000.0, np.nan])
def test_other_float_weights_are_refused(weight, tmp_path):
    f = QonnxFile((2,))
    y = f.node("MatMul", f.quant("x", 0.5, 3), f.constant([[1.0], [weight]]), name="/fc/MatMul")
    with pytest.raises(UserError, match=r"layer 'fc': .*float weights"):
        lower(f.save(y, tmp_path / "net.onnx"))


@pytest.fixture(scope="module", params=["tfc_1w1a", "tfc_2w2a"])
def finn_files(request, tmp_path_factory):
    """A Brevitas export, and what two stages of FINN make of it."""
    pytest.importorskip("finn.transformation.streamline")
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    original = models_directory() / f"{request.param}.onnx"
    folder = tmp_path_factory.mktemp("finn")
    model = cleanup_model(ModelWrapper(str(original))).transform(ConvertQONNXtoFINN())
    model.save(str(folder / "converted.onnx"))
    model.transform(Streamline()).save(str(folder / "streamlined.onnx"))
    return original, folder


@pytest.mark.parametrize("stage", ["converted", "streamlined"])
def test_files_from_a_finn_flow_keep_their_predictions(finn_files, stage):
    original, folder = finn_files
    path = folder / f"{stage}.onnx"
    assert b"MultiThreshold" in path.read_bytes()
    images, _ = mnist_test()
    before, after = lower(original), lower(path)
    expected = before.real_output(run(before, images))
    real = after.real_output(run(after, images))
    assert np.array_equal(real.argmax(axis=1), expected.argmax(axis=1))
    assert np.allclose(real, expected, rtol=0, atol=1e-5)
    assert np.allclose(real[:20], execute(path, images[:20]), rtol=0, atol=1e-5)
