# SPDX-License-Identifier: Apache-2.0
"""What `qdeploy explain` says, against the network it explains and independent sums."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from qonnx_files import QonnxFile
from rich.console import Console
from third_party import models_directory
from typer.testing import CliRunner

from qdeploy.cli import app
from qdeploy.errors import UserError
from qdeploy.explanation import Explanation, explain
from qdeploy.explanation.terminal import details, overview
from qdeploy.lowering import lower

PIXEL_SCALES = np.array([[3, 5, 2], [7, 11, 5], [2, 6, 3]], np.float32).reshape(1, 1, 3, 3) / 512
CODES = np.random.default_rng(0).integers(-1, 2, (4, 2, 3, 3))


def node(explanation: Explanation, layer: str, operator: str):
    (found,) = [n for n in explanation.only(layer).layers[0].nodes if n.operator == operator]
    return found


def beginning(groups: int = 1) -> tuple[QonnxFile, str]:
    """Input quantizer, convolution, batch normalization."""
    f = QonnxFile((2, 6, 6))
    x = f.quant("x", 0.125, 4, signed=0, name="/image/Quant")
    codes = CODES[:, : 2 // groups]
    w = f.quant(f.constant(codes * PIXEL_SCALES), PIXEL_SCALES, 2, narrow=1, name="/conv/w/Quant")
    y = f.node("Conv", x, w, name="/conv/Conv", pads=[1, 1, 1, 1], group=groups)
    statistics = [[1.5, -0.75, 2.0, 0.3], [0.1] * 4, [0.2] * 4, [1.0] * 4]
    return f, f.node(
        "BatchNormalization", y, *map(f.constant, statistics), name="/bn/BatchNormalization"
    )


def cnn(path, groups: int = 1):
    """A convolution, its quantizer, pooling and a classifier with one affine node behind it."""
    f, y = beginning(groups)
    y = f.quant(f.node("Relu", y, name="/act/Relu"), 0.25, 2, signed=0, name="/act/Quant")
    y = f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], name="/pool/MaxPool")
    y = f.node("Flatten", y, name="/flatten/Flatten")
    w = f.quant(f.constant(np.ones((36, 5))), 0.5, 2, narrow=1, name="/fc/w/Quant")
    y = f.node("MatMul", y, w, name="/fc/MatMul")
    return f.save(f.node("Mul", y, f.constant(0.5), name="/scale/Mul"), path / "net.onnx")


def text(renderable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()


def test_each_node_says_what_it_became(tmp_path):
    explanation = explain(cnn(tmp_path))
    assert explanation.lowers
    assert explanation.problem is None
    assert [layer.name for layer in explanation.layers] == [
        "image", "conv", "bn", "act", "pool", "flatten", "fc", "scale",
    ]  # fmt: skip
    assert node(explanation, "image", "Quant").became.startswith("input quantizer: 15 float32")
    assert node(explanation, "conv", "Quant").became == (
        "weights: ternary codes 4x2x3x3, 9 multipliers of 4 bits inside the sum, "
        "scale 1/512 leaves it"
    )
    for layer, operator in (("bn", "BatchNormalization"), ("act", "Relu")):
        became = node(explanation, layer, operator).became
        assert became.endswith("absorbed into the 3 thresholds × 4 channels of 'act'")
    assert node(explanation, "act", "Quant").operators == ("act",)
    assert node(explanation, "flatten", "Flatten").became == "wires only (4x3x3 → 36)"
    assert node(explanation, "fc", "Quant").became.endswith("scale 1/2 leaves the sum")
    assert node(explanation, "scale", "Mul").became == (
        "0.5·x: absorbed into the meaning of the output, real = scale · integer + offset"
    )


def test_accumulator_range_is_the_one_of_the_codes(tmp_path):
    found = node(explain(cnn(tmp_path)), "conv", "Conv")
    weights = (CODES * np.rint(PIXEL_SCALES * 512)).astype(int).reshape(4, -1)
    # The second channel's factor is negative: its weights are turned around.
    weights[1] *= -1
    largest = 15 * np.maximum(weights, 0).sum(axis=1).max()
    smallest = 15 * np.minimum(weights, 0).sum(axis=1).min()
    assert found.range == (smallest, largest)
    assert f"({smallest:,}..{largest:,})" in found.became
    assert (found.bits_in, found.bits_out) == (4, int(largest).bit_length() + 1)


def test_details_of_weights_and_thresholds(tmp_path):
    path = cnn(tmp_path)
    explanation = explain(path)
    (plane,) = explanation.only("conv").layers[0].operators[0].weights
    assert sum(bar.count for bar in plane.histogram) == CODES.size
    assert plane.histogram[1].count == (CODES == 0).sum()
    assert (plane.multipliers, plane.multiplier_range) == (9, (2, 11))
    network = {n.name: n for n in lower(path).nodes}
    thresholds = explanation.only("act").layers[0].operators[0].thresholds
    assert thresholds is not None
    assert thresholds.range == (network["act"].thresholds.min(), network["act"].thresholds.max())
    assert explanation.weights == CODES.size + 36 * 5


def test_constant_channels(tmp_path):
    """Half of the first layer's outputs have weights of 0."""
    f = QonnxFile((6,))
    x = f.quant("x", 0.125, 4, signed=0, name="/image/Quant")
    codes = np.ones((6, 12)) * (np.arange(12) % 2)
    w = f.quant(f.constant(codes), 1.0, 2, narrow=1, name="/fc1/w/Quant")
    y = f.node("Relu", f.node("MatMul", x, w, name="/fc1/MatMul"), name="/act/Relu")
    y = f.quant(y, 0.25, 2, signed=0, name="/act/Quant")
    w = f.quant(f.constant(np.ones((12, 5))), 0.5, 2, narrow=1, name="/fc2/w/Quant")
    explanation = explain(f.save(f.node("MatMul", y, w, name="/fc2/MatMul"), tmp_path / "net.onnx"))
    for layer, operator in (("fc1", "MatMul"), ("act", "Quant")):
        became = node(explanation, layer, operator).became
        assert became.endswith("; 6 constant channels left out")
    assert "left out" not in node(explanation, "fc2", "MatMul").became


def test_goes_on_past_the_first_problem(tmp_path):
    f, y = beginning()
    left = f.node(
        "Quant", f.node("Erf", y, name="/gelu/Erf"), *f.nodes[0].input[1:], name="/q/Quant"
    )
    right = f.quant(f.node("Relu", y, name="/act/Relu"), 0.25, 2, signed=0, name="/act/Quant")
    path = f.save(f.node("Add", left, right, name="/sum/Add"), tmp_path / "net.onnx", rank=4)
    explanation = explain(path)
    assert not explanation.lowers
    assert explanation.fpga is None
    failed = node(explanation, "gelu", "Erf")
    assert failed.state == "failed"
    assert "Erf" in failed.problem.reason
    assert failed.problem.remedy
    assert node(explanation, "q", "Quant").became == "not reached because of 'gelu'"
    assert node(explanation, "sum", "Add").state == "not reached"
    assert node(explanation, "act", "Quant").state == "lowered"
    assert "'gelu', which is not lowered" in node(explanation, "bn", "BatchNormalization").became
    with pytest.raises(UserError, match="Erf"):
        lower(path)


def test_nodes_at_the_output(tmp_path):
    def classifier():
        f = QonnxFile((6,))
        w = f.quant(f.constant(np.ones((6, 5))), 0.5, 2, narrow=1, name="/fc/w/Quant")
        x = f.quant("x", 0.25, 4, name="/image/Quant")
        y = f.node("MatMul", x, w, name="/fc/MatMul")
        return f, f.node("Mul", y, f.constant(0.5), name="/scale/Mul")

    f, y = classifier()
    y = f.node("Softmax", y, axis=1, name="/softmax/Softmax")
    explanation = explain(f.save(y, tmp_path / "softmax.onnx"))
    assert explanation.lowers
    assert "real output" in node(explanation, "softmax", "Softmax").became
    f, y = classifier()
    y = f.node("ArgMax", y, axis=1, name="/class/ArgMax")
    explanation = explain(f.save(y, tmp_path / "class.onnx"))
    assert "does not change which class" in node(explanation, "scale", "Mul").became
    assert node(explanation, "class", "ArgMax").became == "index of the largest integer"


def test_a_zero_point_is_no_bias(tmp_path):
    f, y = beginning()
    y = f.quant(y, 0.25, 3, signed=0, zero_point=2, name="/act/Quant")
    explanation = explain(f.save(y, tmp_path / "net.onnx", rank=4))
    assert explanation.lowers
    assert "bias" not in node(explanation, "act", "Quant").became


def test_a_network_that_ends_in_a_relu(tmp_path):
    f, y = beginning()
    explanation = explain(f.save(f.node("Relu", y), tmp_path / "net.onnx", rank=4))
    assert not explanation.lowers
    assert "quantizer" in explanation.problem.reason


def test_fpga_obstacle_stands_at_its_layer(tmp_path):
    explanation = explain(cnn(tmp_path, groups=2))
    assert explanation.lowers
    refused = {o.name: o.fpga for layer in explanation.layers for o in layer.operators if o.fpga}
    assert explanation.fpga == (not refused)
    if refused:
        assert "2 groups" in refused["conv"].reason
        assert "2 groups" in text(overview(explanation), 100)
    assert explain(cnn(tmp_path)).fpga


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_keeps_to_its_width(tmp_path, width):
    explanation = explain(cnn(tmp_path))
    shown = text(overview(explanation), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "all 11 nodes become 5 integer operators with 252 weights" in shown.replace("\n", " ")
    assert "█" in text(details(explanation.only("conv")), width)


def test_command_line(tmp_path):
    path = cnn(tmp_path)
    run = CliRunner().invoke
    answer = run(app, ["explain", str(path)])
    assert answer.exit_code == 0
    assert "act" in answer.stdout
    answer = run(app, ["explain", str(path), "fc", "--json"])
    assert [layer["name"] for layer in json.loads(answer.stdout)["layers"]] == ["fc"]
    assert Explanation.model_validate_json(answer.stdout) == explain(path).only("fc")
    answer = run(app, ["explain", str(path), "fcc"])
    assert isinstance(answer.exception, UserError)
    assert "'fc'" in answer.exception.remedy
    f, y = beginning()
    bad = f.save(f.node("Erf", y, name="/gelu/Erf"), tmp_path / "bad.onnx", rank=4)
    answer = run(app, ["explain", str(bad)])
    assert answer.exit_code == 2
    assert "What to do" in answer.stdout


def test_long_chains_and_many_paths(tmp_path):
    """Neither recursion depth nor the number of paths through branches counts."""
    f, y = beginning()
    for _ in range(1500):
        y = f.node("Identity", y)
    for _ in range(12):
        y = f.node("Concat", f.node("Relu", y), f.node("Relu", y), axis=1)
    assert explain(f.save(y, tmp_path / "net.onnx", rank=4)).model == "net"


def test_needs_neither_finn_nor_torch():
    program = (
        "import sys, qdeploy.explanation.collect, qdeploy.cli.explain;"
        "sys.exit(bool({'finn', 'torch', 'brevitas', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("tfc_1w1a", 784 * 64 + 2 * 64 * 64 + 64 * 10),
        ("tfc_2w2a", 784 * 64 + 2 * 64 * 64 + 64 * 10),
        ("unsw_nb15_mlp_w2a2", 600 * 64 + 2 * 64 * 64 + 64),  # of which some do nothing
        ("kws_mlp_w3a3", 490 * 256 + 2 * 256 * 256 + 256 * 12),
    ],
)
def test_third_party(name, weights):
    path = models_directory() / f"{name}.onnx"
    explanation = explain(path)
    network = lower(path)
    assert explanation.lowers
    assert explanation.weights == weights
    operators = [o.name for layer in explanation.layers for o in layer.operators]
    assert operators == [n.name for n in network.nodes]


def test_kernels_of_the_cpu(tmp_path):
    pytest.importorskip("llvmlite")
    path = cnn(tmp_path)
    command = ["explain", str(path), "--device", "cpu"]
    for target, name in (("avx2", "AVX2"), ("neon (aarch64)", "NEON (aarch64)")):
        result = CliRunner().invoke(app, [*command, "--target", target, "--json"])
        found = Explanation.model_validate_json(result.stdout)
        assert found.cpu == f"generated {name} kernels"
        kernels = {o.name: o.cpu for layer in found.layers for o in layer.operators}
        assert "4-bit levels" in kernels["conv"]
        assert kernels["act"] == "with the sums of 'conv'"
        assert kernels["pool"] == "maxima of packed levels"
        assert kernels["flatten"] == "nothing to compute"
        assert "2-bit levels" in kernels["fc"]
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "160"}).stdout
    assert "CPU: generated" in shown
    assert "4-bit levels" in shown
    assert "FPGA" not in shown
    assert explain(path).cpu is None


def test_kernels_that_do_not_exist(tmp_path, monkeypatch):
    path = cnn(tmp_path)
    with pytest.raises(UserError, match="z80"):
        explain(path, cpu=True, target="z80")
    with pytest.raises(UserError, match="only kernels of the CPU"):
        CliRunner().invoke(app, ["explain", str(path), "--target", "AVX2"], catch_exceptions=False)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    for name in [n for n in sys.modules if n.startswith("qdeploy.cpu.kernels.targets")]:
        monkeypatch.delitem(sys.modules, name)
    assert explain(path, cpu=True).cpu == "portable form (llvmlite is not installed)"
