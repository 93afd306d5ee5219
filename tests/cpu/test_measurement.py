# SPDX-License-Identifier: Apache-2.0
"""Measuring: the versions for comparison, the clock, and `qdeploy bench`."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sample_networks import branching_network, small_cnn, small_mlp
from typer.testing import CliRunner

from qdeploy.cli import app
from qdeploy.cpu import pack
from qdeploy.cpu.measurement.timing import interleaved
from qdeploy.cpu.measurement.twins import float_twin, int8_twin
from qdeploy.errors import UserError

NETWORKS = {"cnn": small_cnn, "mlp": small_mlp, "branches": branching_network}
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(small_cnn(), tmp_path_factory.mktemp("packed") / "cpu.onnx").path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdeploy.cpu.measurement.timing._BLOCK_NANOSECONDS", 200_000)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("twin", [float_twin, int8_twin])
@pytest.mark.parametrize("count", [1, 3])
def test_twins_have_the_shapes_of_the_network(make, twin, count: int) -> None:
    network = make()
    model = twin(network)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.random.default_rng(0).random((count, *network.input_tensor.shape), np.float32)
    (y,) = session.run(None, {network.input_name: x})
    assert y.shape == (count, *network.output_tensor.shape)
    assert len(np.unique(y)) > 1  # nothing is lost on the way


def test_onnx_runtime_takes_the_int8_network_as_int8(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    model = int8_twin(small_cnn()).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert kinds.count("QGemm") == 1
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "Relu"} & set(kinds)


def test_both_clocks() -> None:
    def busy() -> None:
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass

    times = interleaved({"idle": lambda: time.sleep(0.002), "busy": busy}, rounds=2)
    assert times["idle"].wall.min() > 1900
    assert times["idle"].processor.max() < 1000
    assert times["busy"].processor.min() > 1900
    assert len(times["idle"].wall) == len(times["idle"].processor) >= 6


@pytest.mark.usefixtures("quick")
def test_bench_prints_layers_and_ratios(packed: Path) -> None:
    pytest.importorskip("llvmlite")
    result = RUNNER.invoke(app, ["bench", str(packed), "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert "generated" in found["form"]
    assert found["macs"] == 4 * 9 * 64 + 6 * 4 * 9 * 64 + 10 * 96
    names = [layer["name"] for layer in found["layers"]]
    assert names == ["input", "conv1", "conv2", "pool", "fc", "output"]
    multiplied = {layer["name"] for layer in found["layers"] if layer["roofline"]}
    assert multiplied == {"conv1", "conv2", "fc"}
    assert all(layer["microseconds"] > 0 for layer in found["layers"])
    for row in found["latencies"]:
        assert 0 < row["p10"] <= row["p50"] <= row["p90"] <= row["p99"]
    assert found["latencies"][0]["bytes"] == packed.stat().st_size
    assert found["in_float"] == []
    assert found["loading"]["cached"] > 0

    table = RUNNER.invoke(app, ["bench", str(packed), "--threads", "2"], catch_exceptions=False)
    for text in ("x int8", "x float32", "conv2", "of roofline", "threads: 2", "table lookups"):
        assert text in table.stdout


@pytest.mark.usefixtures("quick")
def test_bench_of_the_portable_form(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    result = RUNNER.invoke(app, ["bench", str(packed), "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["form"] == "portable form (llvmlite is not installed)"
    assert found["layers"] == []
    assert found["loading"] is None


@pytest.mark.parametrize("arguments", [["missing.onnx"], ["broken.onnx"], ["--device", "sim", "."]])
def test_what_cannot_be_measured(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError):
        RUNNER.invoke(app, ["bench", *arguments], catch_exceptions=False)
