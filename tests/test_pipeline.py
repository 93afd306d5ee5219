# SPDX-License-Identifier: Apache-2.0
"""The whole path on a small network, through the command line: killed twice, resumed, compared."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qonnx_files import QonnxFile, execute

import qdeploy
from qdeploy.build import open_build
from qdeploy.errors import UserError
from qdeploy.fpga.design import load_design
from qdeploy.fpga.shell import load_shell
from qdeploy.verification import Verification
from qdeploy.verification.targets import verify_build

pytestmark = pytest.mark.slow


def small_model(path: Path) -> Path:
    """quant - conv with pixel scales - BN - quant - max pool - flatten - linear."""
    rng = np.random.default_rng(0)
    f = QonnxFile((1, 6, 6))
    x = f.quant("x", 0.25, 3, signed=0, name="/image/Quant")
    scales = rng.integers(1, 200, (1, 1, 3, 3)) / 256
    codes = rng.choice([-1, 0, 1], (4, 1, 3, 3))
    w = f.quant(f.constant(codes * scales), scales, 2, narrow=1)
    y = f.node("Conv", x, w, name="/conv1/Conv", pads=[1, 1, 1, 1])
    statistics = [[1, -1, 0.5, 2], rng.normal(size=4), rng.normal(size=4), [1, 2, 0.5, 1]]
    y = f.node("BatchNormalization", y, *map(f.constant, statistics))
    y = f.quant(f.node("Relu", y), 0.25, 2, signed=0, name="/act1/Quant")
    y = f.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], name="/pool/MaxPool")
    y = f.node("Flatten", y, name="/flatten/Flatten")
    w = f.quant(f.constant(rng.choice([-0.5, 0, 0.5], (36, 5))), 0.5, 2, narrow=1)
    return f.save(f.node("MatMul", y, w, name="/fc/MatMul"), path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="module")
def build_directory(model: Path) -> Path:
    """A build that was killed in stages `map` and `simulate` and then finished."""
    directory = model.parent / "build"
    command = [sys.executable, "-m", "qdeploy", "compile", str(model), "-o", str(directory)]
    for stage in ("map", "simulate"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(directory / "stages", f".{stage}-*", process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert stage not in open_build(directory).stages
        assert not list((directory / "stages").glob(f"{stage}-*"))
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return directory


def wait_for(directory: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    while not list(directory.glob(pattern)):
        assert process.poll() is None, f"the build ended before {pattern} appeared"
        time.sleep(0.002)


def test_interrupted_build_finishes_and_leaves_no_partial_results(build_directory: Path) -> None:
    names = [path.name for path in (build_directory / "stages").iterdir()]
    assert not [name for name in names if name.startswith(".")]
    assert sorted(name.rsplit("-", 1)[0] for name in names) == [
        "estimate", "generate", "lower", "map", "pack", "shell", "simulate", "verify",
    ]  # fmt: skip


def test_all_devices_compute_what_the_source_file_means(build_directory: Path, model: Path) -> None:
    x = (np.random.default_rng(1).integers(-2, 10, (40, 1, 6, 6)) / 4).astype(np.float32)
    expected = execute(model, x)
    reference = qdeploy.load(build_directory, device="reference")
    for device in ("cpu", "sim"):
        runner = qdeploy.load(build_directory, device=device)
        assert np.array_equal(runner.run_integers(x), reference.run_integers(x))
        assert np.allclose(runner.run(x), expected, rtol=1e-5, atol=1e-5)


def test_measured_interval_is_the_predicted_one(build_directory: Path) -> None:
    report = open_build(build_directory).report
    assert report.performance is not None
    assert report.performance.measured_cycles == report.performance.predicted_cycles
    assert not report.performance.slowed_by
    assert report.schedule is not None
    for fifo in report.schedule.fifos:
        assert fifo.full_speed is not None
        assert fifo.ever is not None
        assert 1 <= fifo.full_speed <= fifo.ever <= fifo.depth
    assert {version.name: version.equal for version in report.versions} == {
        "integer": None,
        "cpu": True,
        "rtl": True,
    }


def test_source_file_is_compared(build_directory: Path) -> None:
    build = open_build(build_directory)
    found = Verification.model_validate_json(build.file("verify", "verify.json").read_bytes())
    assert found.source is not None
    assert found.source.frames >= 4
    assert found.source.exact_frames >= 4
    assert found.source.proven == found.source.differing
    seen = {tensor.layer: (tensor.observed_low, tensor.observed_high) for tensor in found.extremes}
    assert {layer.name: layer.seen for layer in build.report.layers}.items() <= seen.items()
    assert "exact rationals" in (build_directory / "report.html").read_text()
    again = verify_build(build_directory)
    assert again.compared == ["cpu", "rtl"]
    assert again.source is not None


def test_estimates_and_page_are_there(build_directory: Path) -> None:
    report = open_build(build_directory).report
    used = {resource.name: resource.used for resource in report.resources}
    assert 50 < used["LUT"] < 5000
    assert used["FF"] > 50
    conv1 = next(layer for layer in report.layers if layer.name == "conv1")
    assert conv1.scale_form == "recode"  # one channel leaves no groups to sum
    assert conv1.used.lut
    assert "conv1" in (build_directory / "report.html").read_text()


def test_the_shell_is_that_of_the_design(build_directory: Path) -> None:
    design, shell = load_design(build_directory / "rtl"), load_shell(build_directory / "shell")
    assert shell.top == f"{design.top}_shell"
    assert shell.streams == design.streams
    assert all((build_directory / "shell" / name).is_file() for name in shell.files)
    assert (shell.input.frame_bytes, shell.output.frame_bytes) == (40, 8)  # 36 and 5 words


def test_a_second_run_reuses_every_stage(build_directory: Path, model: Path) -> None:
    reused = {}
    from qdeploy import pipeline
    from qdeploy.config import compile_config

    def progress(name: str, outcome: object) -> None:
        reused[name] = outcome.reused if outcome else None

    pipeline.compile_model(model, compile_config(), build_directory, progress, None)
    assert len(reused) == 8
    assert all(reused.values())


def test_board_needs_a_bitstream(build_directory: Path) -> None:
    with pytest.raises(UserError, match="no bitstream"):
        qdeploy.load(build_directory, device="board")


def test_no_build_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no build"):
        qdeploy.load(tmp_path)


def test_the_bitstream_of_another_design_is_forgotten(build_directory: Path, model: Path) -> None:
    made = build_directory / "stages" / "bitstream-old"
    made.mkdir()
    counts = {"total": {}, "accelerator": {}, "nodes": {}}
    results = {
        "vivado": "2024.1",
        "build": "0" * 64,
        "part": "xc7z020clg400-1",
        "clock_mhz": 100,
        "synthesized": counts,
        "routed": counts,
        "timing": {"slack": 1, "hold_slack": 1, "source": "", "destination": "", "node": None},
        "power": {"total": 1, "dynamic": 1, "static": 1},
    }
    (made / "bitstream.json").write_text(json.dumps(results))
    (made / "board.bit").write_bytes(b"old")
    (build_directory / "board.bit").symlink_to("stages/bitstream-old/board.bit")
    names = json.loads((build_directory / "build.json").read_text())
    (build_directory / "build.json").write_text(json.dumps(names | {"bitstream": made.name}))
    qdeploy.compile(model, output=build_directory)
    assert "bitstream" not in open_build(build_directory).stages
    assert not (build_directory / "board.bit").exists()
