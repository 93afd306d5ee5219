# SPDX-License-Identifier: Apache-2.0
"""Packages of builds: what is in them, equal bytes, the same integers on every device."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from small_builds import add_bitstream, inputs, small_build

import qdeploy
from qdeploy import integer
from qdeploy.board import open_package
from qdeploy.board.selftest import self_test
from qdeploy.build import Build
from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.program.ahead_of_time import board_program
from qdeploy.errors import InternalError, UserError
from qdeploy.packaging import package, write_archive

CPU_ALONE = ("finn-plus",)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """On the CPU alone."""
    return small_build(tmp_path_factory.mktemp("cpu"), *CPU_ALONE)


@pytest.fixture(scope="module")
def path(build: Build) -> Path:
    path = build.directory.parent / "small.qdp"
    package(build, path)
    return path


@pytest.fixture(scope="module")
def accelerator(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """With an accelerator and what passes for a bitstream."""
    pytest.importorskip("finn")
    return add_bitstream(small_build(tmp_path_factory.mktemp("rtl"), "Verilator", "Yosys"))


def test_contents(build: Build, path: Path) -> None:
    opened = open_package(path)
    network = opened.manifest.network
    assert opened.manifest.name == "small"
    assert (network.input_shape, network.output_shape) == ((1, 6, 6), (5,))
    assert network.classes is None
    source, x = build.network, inputs()
    expected = integer.run(source, x)
    labels = np.load(build.directory.parent / "data.npz")["y"]
    assert network.accuracy == np.mean(source.real_output(expected).argmax(axis=1) == labels)
    assert network.samples == len(x)
    given = opened.array("selftest/input.npy")
    assert np.array_equal(opened.array("selftest/integers.npy"), integer.run(source, given))
    assert len(np.unique(opened.array("selftest/integers.npy"))) > 5
    assert opened.read("cpu.onnx") == build.file("pack", "cpu.onnx").read_bytes()
    assert {"program-arm.bin", "program-aarch64.bin", "reports/report.json"} <= set(
        opened.manifest.files
    )
    assert opened.manifest.streams is None


def test_equal_builds_give_equal_bytes(build: Build, path: Path, tmp_path: Path) -> None:
    package(small_build(tmp_path, *CPU_ALONE), tmp_path / "again.qdp")
    assert (tmp_path / "again.qdp").read_bytes() == path.read_bytes()


def test_processor(build: Build, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = inputs(1)
    expected = qdeploy.load(build.directory, "reference").run_integers(x)
    for device in ("auto", "cpu"):
        assert np.array_equal(qdeploy.load(path, device).run_integers(x), expected)
        assert np.array_equal(qdeploy.load(build.directory, device).run_integers(x), expected)
    said = capsys.readouterr().err.splitlines()
    assert [line.split("not the board: ")[1] for line in said] == [
        "package: small.qdp holds no bitstream)",
        "the build has no bitstream)",
    ]
    with pytest.raises(UserError, match="no bitstream"):
        qdeploy.load(path, "board")
    with pytest.raises(UserError, match="no accelerator"):
        qdeploy.load(path, "sim")
    with pytest.raises(UserError, match="no device 'gpu'"):
        qdeploy.load(path, "gpu")


def test_machine_code_where_there_is_no_onnx_runtime(
    build: Build, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qdeploy.cpu", None)
    with pytest.raises(UserError, match="no program for its processor"):
        qdeploy.board.load(path, "cpu")
    native = with_program(build, path, tmp_path / "native.qdp")
    runner = qdeploy.board.load(native, "cpu")
    assert "machine code" in runner.form
    x = inputs(2)
    assert np.array_equal(runner.run_integers(x), integer.run(build.network, x))
    assert self_test(open_package(native), runner) == 32


def with_program(build: Build, path: Path, new: Path) -> Path:
    """A copy of a package with a program for this machine."""
    opened = open_package(path)
    files = {name: opened.read(name) for name in opened.manifest.files}
    target = host_targets()[0]
    files[f"program-{target.architecture}.bin"] = board_program(build.network, target)
    write_archive(new, manifest_of(path), files)
    return new


def manifest_of(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, object] = json.loads(archive.read("manifest.json"))
    return found


def test_self_test_finds_a_wrong_device(path: Path) -> None:
    opened = open_package(path)

    class Wrong:
        form = "a broken device"

        def run_integers(self, x: np.ndarray) -> np.ndarray:
            integers = opened.array("selftest/integers.npy").copy()
            integers[3, 2] += 1
            return integers

    with pytest.raises(InternalError, match=r"broken device: 1 of 32 .* frame 3, output \(2,\)"):
        self_test(opened, Wrong())


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", [0, 0.5, 0.99, 1])
def test_full_disk(share: float, build: Build, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.qdp"
    target.write_bytes(b"what was there")
    size = path.stat().st_size
    with files_up_to(int(share * size) - (share == 1)), pytest.raises(UserError, match="room on"):
        package(build, target)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [
        ("small.qdp", b"what was there")
    ]
    package(build, target)
    assert target.read_bytes() == path.read_bytes()


def test_full_disk_of_the_cache(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with files_up_to(5000), pytest.raises(UserError, match="make room on the disk"):
        build.package()
    assert not list((tmp_path / "qdeploy/packages").iterdir())
    assert build.package().manifest.name == "small"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        build.package()


def test_folder_that_cannot_be(build: Build, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        package(build, tmp_path / "file" / "small.qdp")


@pytest.mark.slow
def test_accelerator(accelerator: Build, tmp_path: Path) -> None:
    path = tmp_path / "small.qdp"
    assert package(accelerator, path).bitstream
    opened = open_package(path)
    manifest = opened.manifest
    assert manifest.board is not None
    assert manifest.board.name == "PYNQ-Z2"
    assert manifest.build is not None
    assert manifest.build in (accelerator.file("shell", "shell") / "small_top_shell.v").read_text()
    assert manifest.stream_names[0].startswith("input")
    assert opened.read("board.bit") == b"bits"
    assert opened.read("reports/timing.rpt") == b"slack"
    assert opened.read("rtl/small_top.v")
    x = inputs(3)
    runner = qdeploy.load(path, "sim")
    expected = integer.run(accelerator.network, x)
    assert np.array_equal(runner.run_integers(x), expected)
    assert np.array_equal(runner.run(x), accelerator.network.real_output(expected))
    assert self_test(opened, qdeploy.load(accelerator.package().path, "sim")) == 32
    shell = accelerator.file("shell", "shell") / "shell.json"
    shell.write_text(shell.read_text().replace(manifest.build, "0" * 64))
    old = package(accelerator, path)
    assert not old.bitstream
    assert "no bitstream of this design" in old.notes[0]


def command_line(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qdeploy", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_line(build: Build, path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.qdp"
    answer = command_line("package", build.directory, "-o", new)
    assert answer.returncode == 0, answer.stderr
    assert "without bitstream" in answer.stdout
    assert new.read_bytes() == path.read_bytes()
    answer = command_line("run", new, "--selftest", "--device", "cpu")
    assert "32 frames equal" in answer.stdout, answer.stderr
    x = inputs(4)
    np.save(tmp_path / "x.npy", x)
    answer = command_line("run", new, "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert "not the board: package: new.qdp holds no bitstream" in answer.stderr
    expected = build.network.real_output(integer.run(build.network, x))
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)
    for wrong in (["run", new], ["run", new, "--selftest", "--input", "x.npy"]):
        answer = command_line(*wrong)
        assert answer.returncode == 2
        assert "either --input or --selftest" in answer.stderr


def test_bench(path: Path) -> None:
    answer = command_line("bench", path, "--json")
    assert answer.returncode == 0, answer.stderr
    measured = json.loads(answer.stdout)
    assert measured["network"] == "small"
    assert measured["latencies"][0]["name"].startswith("qdeploy")
    for device, reason in (("board", "holds no bitstream"), ("sim", "cannot be measured")):
        answer = command_line("bench", path, "--device", device)
        assert answer.returncode == 2
        assert reason in answer.stderr
