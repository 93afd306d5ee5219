# SPDX-License-Identifier: Apache-2.0
"""What would fail after an hour is said within a second, with one message."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bitstream_runs import make
from stub_installation import install

from qdeploy.bitstream import build as bitstream_build
from qdeploy.bitstream.docker import Container
from qdeploy.bitstream.vivado import Installation, find_vivado, versions
from qdeploy.build import open_build
from qdeploy.errors import QdeployError, ToolError, UserError
from qdeploy.fpga.board import load_board


@contextmanager
def refused(kind: type[QdeployError], *words: str) -> Iterator[None]:
    """The block raises one message with these words, within a second."""
    started = time.monotonic()
    with pytest.raises(kind) as raised:
        yield
    assert time.monotonic() - started < 1
    text = str(raised.value)
    assert all(word in text for word in words), text
    assert "What to do:" in text


@pytest.fixture
def nothing_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Vivado in the environment, no licence, an empty PATH."""
    for name in ("XILINX_VIVADO", "XILINXD_LICENSE_FILE", "LM_LICENSE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_no_vivado(nothing_named: None) -> None:
    with refused(UserError, "there is no Vivado", "XILINX_VIVADO", "--vivado"):
        find_vivado(None)


def test_a_folder_without_vivado_names_the_one_inside(vivado: Installation) -> None:
    with refused(UserError, "holds no bin/vivado", f"did you mean {vivado.folder}?"):
        find_vivado(vivado.folder.parent)


@pytest.mark.parametrize("version", ["2021.1", "2026.1", "latest"])
def test_a_version_that_is_not_supported(tmp_path: Path, version: str) -> None:
    folder = tmp_path / "Vivado" / version
    folder.mkdir(parents=True)
    install(folder, version)
    said = "unknown" if version == "latest" else version
    with refused(UserError, f"has version {said}", "2022.2", "2025.2"):
        find_vivado(folder)


def test_vivado_is_found_in_both_layouts_and_behind_links(
    tmp_path: Path, nothing_named: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, number in (("Vivado/2022.2", "2022.2"), ("2025.1/Vivado", "2025.1")):
        (tmp_path / folder).mkdir(parents=True)
        install(tmp_path / folder, number)
        assert find_vivado(tmp_path / folder).number == number
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "2025.1" / "Vivado")
    monkeypatch.setenv("XILINX_VIVADO", str(link))
    assert find_vivado(None).number == "2025.1"
    monkeypatch.delenv("XILINX_VIVADO")
    monkeypatch.setenv("PATH", str(tmp_path / "Vivado" / "2022.2" / "bin"))
    assert find_vivado(None).number == "2022.2"


def test_the_table_holds_every_supported_version() -> None:
    years = ["2022.2", "2023.1", "2023.2", "2024.1", "2024.2", "2025.1", "2025.2"]
    assert list(versions()) == years


def test_devices_that_are_not_installed(build: Path, vivado: Installation) -> None:
    parts = vivado.folder / "data" / "parts" / "xilinx"
    (parts / "zynquplus").mkdir(parents=True)
    with refused(UserError, "lacks the devices of PYNQ-Z2", "xc7z020", "'Zynq-7000'"):
        make(build, vivado)
    (parts / "zynq").mkdir()
    make(build, vivado)


def test_a_part_that_needs_a_licence(
    build: Path,
    vivado: Installation,
    tmp_path: Path,
    nothing_named: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zcu102 = load_board("zcu104").model_copy(
        update={"name": "ZCU102", "part": "xczu9eg-ffvb1156-2-e"}
    )
    monkeypatch.setattr(bitstream_build, "board_named", lambda name: zcu102)
    with refused(UserError, "ZCU102 (xczu9eg", "needs a licence", "XILINXD_LICENSE_FILE"):
        make(build, vivado)
    licence = tmp_path / "xilinx.lic"
    licence.write_text("FEATURE")
    monkeypatch.setenv("XILINXD_LICENSE_FILE", f"2100@server:{licence}")
    command = Container(vivado, None, None).command(tmp_path, [])
    assert f"{licence}:{licence}:ro" in command
    assert f"XILINXD_LICENSE_FILE={licence}" in command


def test_every_board_but_none_else_needs_no_licence(vivado: Installation, tmp_path: Path) -> None:
    boards = [
        load_board(name) for name in ("arty-z7-20", "kv260", "pynq-z1", "ultra96-v2", "zcu104")
    ]
    for board in boards:
        bitstream_build.preflight.check(vivado, board, tmp_path)


def test_too_little_disk(
    build: Path, vivado: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitstream_build.preflight, "NEEDED_GIGABYTES", 1e9)
    with refused(UserError, "GB free", "needs 1000000000.0 GB"):
        make(build, vivado)


def test_no_docker_client(build: Path, vivado: Installation, nothing_named: None) -> None:
    with refused(ToolError, "no program 'docker'", "--no-docker"):
        make(build, vivado, Container(vivado, None, None))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x. Is it running?",
            "no engine is running",
        ),
        ("permission denied while trying to connect to the Docker daemon", "group 'docker'"),
    ],
)
def test_an_engine_that_does_not_answer(
    build: Path,
    vivado: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    words: str,
) -> None:
    client(tmp_path, f"echo '{answer}' >&2; exit 1", monkeypatch)
    with refused(ToolError, words):
        make(build, vivado, Container(vivado, None, None))


def test_no_image_and_no_network(
    build: Path, vivado: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = "dial tcp: lookup registry-1.docker.io: no such host"
    build_fails = f"cat > /dev/null; echo '{offline}'; exit 1"
    lines = f"case $1 in version) echo 20.10;; image) exit 1;; build) {build_fails};; esac"
    client(tmp_path, lines, monkeypatch)
    with refused(
        ToolError, "no image qdeploy-bitstream:", "no network to build it", "--base-image"
    ):
        make(build, vivado, Container(vivado, None, None))


def client(folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program `docker` that runs these lines of shell."""
    program = folder / "client" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_a_build_for_the_cpu_alone(build: Path, vivado: Installation) -> None:
    (build / "build.json").write_text('{"lower": "lower"}')
    with refused(UserError, "no result of stage"):
        make(build, vivado)
    assert "generate" not in open_build(build).stages


def test_remarks_do_not_stop_a_build(
    build: Path, vivado: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    kria = load_board("pynq-z2").model_copy(update={"pynq": ("2.7",)})
    monkeypatch.setattr(bitstream_build, "board_named", lambda name: kria)
    _, record = make(build, vivado)
    assert any("goes with PYNQ 3.0, 3.1" in note for note in record.notes)
    assert any("tul.com.tw:pynq-z2 were not found" in note for note in record.notes)


def test_an_engine_that_hangs(
    build: Path, vivado: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr("qdeploy.bitstream.docker.SECONDS_TO_ANSWER", 0.2)
    with refused(ToolError, "the engine does not answer"):
        make(build, vivado, Container(vivado, None, None))


def test_a_vivado_that_may_not_be_run(build: Path, vivado: Installation) -> None:
    vivado.program.chmod(0o644)
    with pytest.raises(ToolError, match=r"cannot run .*vivado"):
        make(build, vivado)
    vivado.program.chmod(0o755)
    make(build, vivado)
