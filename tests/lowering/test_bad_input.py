# SPDX-License-Identifier: Apache-2.0
"""Files that cannot become integers: one message naming node and remedy, nothing written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.lowering import lower


def quantized_mlp() -> tuple[QonnxFile, str]:
    f = QonnxFile((4,))
    w = f.quant(f.constant(np.eye(4, 3)), 1.0, 2, narrow=1)
    return f, f.node("MatMul", f.quant("x", 1.0, 2), w, name="/fc1/MatMul")


def truncated(path: Path) -> None:
    f, y = quantized_mlp()
    f.save(y, path)
    path.write_bytes(path.read_bytes()[:-40])


def text_file(path: Path) -> None:
    path.write_text("this is no model\n" * 20)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def unsupported_operator(path: Path) -> None:
    f, y = quantized_mlp()
    f.save(f.node("Erf", y, name="/gelu/Erf"), path)


def float_layer_in_the_middle(path: Path) -> None:
    f, y = quantized_mlp()
    y = f.node(
        "MatMul", f.quant(y, 1.0, 2), f.constant(np.full((3, 3), 0.1)), name="/block/fc2/MatMul"
    )
    f.save(y, path)


def leaky_relu_without_quantizer(path: Path) -> None:
    f, y = quantized_mlp()
    w = f.quant(f.constant(np.eye(3)), 1.0, 2)
    f.save(f.node("MatMul", f.node("LeakyRelu", y), w, name="/fc3/MatMul"), path)


def real_input(path: Path) -> None:
    f = QonnxFile((4,))
    w = f.quant(f.constant(np.eye(4)), 1.0, 2)
    f.save(f.node("MatMul", "x", w, name="/fc1/MatMul"), path)


def scale_of_nan(path: Path) -> None:
    f = QonnxFile((4,))
    f.save(f.quant("x", float("nan"), 2, name="/image/Quant"), path)


def zero_scale(path: Path) -> None:
    f = QonnxFile((4,))
    f.save(f.quant("x", 0.0, 2, name="/image/Quant"), path)


def arbitrary_pixel_scales(path: Path) -> None:
    f = QonnxFile((1, 4, 4))
    scales = np.array([0.1, 1e-9, 1e6, 3.3]).reshape(1, 1, 2, 2)
    w = f.quant(f.constant(np.ones((1, 1, 2, 2))), scales, 2, narrow=1)
    f.save(f.node("Conv", f.quant("x", 1.0, 2), w, name="/conv/Conv"), path, rank=4)


def external_data(path: Path) -> None:
    f, y = quantized_mlp()
    model = f.model(y)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(model.SerializeToString())


def two_inputs(path: Path) -> None:
    f, y = quantized_mlp()
    model = f.model(y)
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4]))
    path.write_bytes(model.SerializeToString())


def wrong_sizes(path: Path) -> None:
    f, _ = quantized_mlp()
    w = f.quant(f.constant(np.eye(5, 3)), 1.0, 2)
    f.save(f.node("MatMul", f.quant("x", 1.0, 2), w, name="/fc1/MatMul"), path)


CASES = [
    (truncated, r"truncated|not valid"),
    (text_file, "truncated or not an ONNX file|holds no ONNX graph"),
    (empty, "no ONNX graph"),
    (unsupported_operator, r"layer 'gelu': operator Erf \(node '/gelu/Erf'\)"),
    (float_layer_in_the_middle, r"layer 'block.fc2': MatMul .* has float weights"),
    (leaky_relu_without_quantizer, r"layer 'fc3': .*float layer: .*Relu"),
    (real_input, r"layer 'fc1': .*real input"),
    (scale_of_nan, r"the scale of node '/image/Quant' is nan"),
    (zero_scale, "not positive"),
    (arbitrary_pixel_scales, r"layer 'conv': its 4 weight scales need .* bits"),
    (external_data, "another file|not valid"),
    (two_inputs, "2 inputs"),
    (wrong_sizes, r"layer 'fc1': weights \(3, 5\) do not fit"),
]


@pytest.mark.parametrize(("make", "message"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_one_clear_error(make, message, tmp_path):
    path = tmp_path / "bad.onnx"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        lower(path)
    assert caught.value.remedy


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        lower(tmp_path / "missing.onnx")


@pytest.mark.parametrize("make", [truncated, float_layer_in_the_middle])
def test_command_line_says_it_without_a_traceback(make, tmp_path):
    path = tmp_path / "bad.onnx"
    make(path)
    answer = subprocess.run(
        [sys.executable, "-m", "qdeploy", "lower", path, "-o", tmp_path / "out.npz"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr + answer.stdout
    assert "What to do:" in answer.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]
