# SPDX-License-Identifier: Apache-2.0
"""`qdeploy deploy` to a board that is a folder here: stubs of ssh and scp run everything in it."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from environments import NUMPY, python
from packages import doubling, npy, write
from sample_networks import small_cnn

from qdeploy import integer
from qdeploy.board import open_package
from qdeploy.cpu.kernels.targets import host_targets
from qdeploy.cpu.program.ahead_of_time import board_program
from qdeploy.deployment import deploy
from qdeploy.errors import ToolError, UserError
from qdeploy.packaging import write_archive

SSH = """#!/bin/bash
# Everything after the host is a shell command in the home directory there.
printf 'ssh' >> "$BOARD/log"; printf ' %q' "$@" >> "$BOARD/log"; echo >> "$BOARD/log"
while [ $# -gt 0 ]; do
  case "$1" in
    -o) shift 2;;
    -O) exit 0;;
    -MNf) master=1; shift;;
    --) shift; break;;
    *) exit 96;;
  esac
done
if [ -e "$BOARD/unreachable" ]; then
  echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255
fi
[ -n "$master" ] && exit 0
shift
cd "$BOARD/home" && HOME="$BOARD/home" PATH="$BOARD/bin:/usr/bin:/bin" exec env -u PYTHONPATH \
  PYTHONPATH="$BOARD_PACKAGES" bash -c "$*"
"""
SCP = """#!/bin/bash
printf 'scp' >> "$BOARD/log"; printf ' %q' "$@" >> "$BOARD/log"; echo >> "$BOARD/log"
[ -e "$BOARD/full" ] && { echo "scp: write: No space left on device" >&2; exit 1; }
while [ "$1" != "--" ]; do shift; done; shift
files=("${@:1:$#-1}"); cp "${files[@]}" "$BOARD/home/${!##*:}"
"""


@dataclass
class Board:
    """A folder that plays a board."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def log(self) -> list[list[str]]:
        return [shlex.split(line) for line in (self.folder / "log").read_text().splitlines()]

    def program(self, name: str, text: str) -> None:
        script(self.folder / "bin" / name, text)


def script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """With Python 3.10 and numpy, and a user who is not root but may become it."""
    board = Board(tmp_path / "board")
    board.home.mkdir(parents=True)
    script(tmp_path / "bin" / "ssh", SSH)
    script(tmp_path / "bin" / "scp", SCP)
    interpreter = python("3.10", NUMPY["3.10"])
    subprocess.run(
        [
            interpreter,
            "-m",
            "venv",
            "--without-pip",
            "--system-site-packages",
            board.folder / "venv",
        ],
        check=True,
    )
    board.program("python3", f'#!/bin/sh\nexec {board.folder}/venv/bin/python3 "$@"\n')
    board.program("id", "#!/bin/sh\necho 1000\n")
    board.program("sudo", f'#!/bin/sh\necho "$@" >> {board.folder}/sudo.log\nexec "$@"\n')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("BOARD", str(board.folder))
    packages = interpreter.parents[1] / "lib" / "python3.10" / "site-packages"
    monkeypatch.setenv("BOARD_PACKAGES", str(packages))
    return board


def runnable(path: Path, *, wrong: bool = False) -> Path:
    """A package of a network with machine code for this processor."""
    network = small_cnn()
    x = np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)
    integers = integer.run(network, x)
    scale, offset = (part.astype(np.float64) for part in network.output_tensor.affine())
    target = host_targets()[0]
    files = {
        "boundaries.npy": npy(network.quantizer.boundaries),
        "scale.npy": npy(scale),
        "offset.npy": npy(offset),
        "selftest/input.npy": npy(x),
        "selftest/integers.npy": npy(integers + wrong),
        "selftest/output.npy": npy(network.real_output(integers)),
        f"program-{target.architecture}.bin": board_program(network, target),
    }
    manifest = {
        "format": "qdeploy package 1",
        "name": network.name,
        "version": "0.1.0",
        "network": {
            "input_shape": [1, 8, 8],
            "output_shape": list(network.output_tensor.shape),
            "low": network.quantizer.low,
            "step": network.quantizer.step,
            "output_function": network.output_function,
            "classes": None,
            "accuracy": None,
            "samples": 0,
        },
        **dict.fromkeys(("board", "build", "streams", "cycles_per_frame", "latency")),
        "stream_names": [],
    }
    write_archive(path, manifest, files)
    return path


def test_installs_and_tests(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = runnable(tmp_path / "model.qdp")
    for _ in range(2):  # over an older installation too
        deploy(path, "xilinx@pynq", port=2222, say=print)
        said = capfd.readouterr().out
        assert "self-test passed: 4 frames equal" in said
        assert "self-test on the cpu" in said
    assert (board.home / "qdeploy/model.qdp").read_bytes() == path.read_bytes()
    (installed,) = (board.folder / "venv/lib").glob("python3.10/site-packages/qdeploy/board")
    assert (installed / "package.py").exists()
    assert not (installed.parent / "cpu").exists()
    assert (board.folder / "sudo.log").read_text().count("-m pip install") == 2
    for command in board.log:
        assert command[command.index("--") + 1 :][0] in {"xilinx@pynq"} or command[0] == "scp"
        assert "Port=2222" in command
    assert board.log[-1][-4:] == ["-O", "exit", "--", "xilinx@pynq"]


def test_root_needs_no_sudo(board: Board, tmp_path: Path) -> None:
    board.program("id", "#!/bin/sh\necho 0\n")
    deploy(runnable(tmp_path / "model.qdp"), "root@pynq", say=print)
    assert not (board.folder / "sudo.log").exists()


def test_dry_run_runs_nothing_and_shows_all(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = runnable(tmp_path / "model.qdp")
    deploy(path, "xilinx@pynq", dry_run=True, say=print)
    shown = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("#")]
    assert not (board.folder / "log").exists()
    deploy(path, "xilinx@pynq", say=print)
    assert len(shown) == len(board.log)
    for line, command in zip(shown, board.log, strict=True):
        # All but the temporary folder is as shown.
        ran, said = (
            [word for word in words if "/tmp" not in word] for words in (command, shlex.split(line))
        )
        assert ran == said


def test_bitstreams_need_the_board(board: Board, tmp_path: Path) -> None:
    """Here is none: preflight stops it, and says what is missing."""
    manifest, files = doubling()
    write_archive(
        tmp_path / "model.qdp", manifest, files | {"board.bit": b"", "board.hwh": b"<xml/>"}
    )
    with pytest.raises(ToolError, match=r"preflight on pynq: PYNQ: not installed"):
        deploy(tmp_path / "model.qdp", "pynq", say=print)


def test_failing_self_test(board: Board, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"self-test on the cpu on pynq: .*4 of 4 frames are wrong"):
        deploy(runnable(tmp_path / "model.qdp", wrong=True), "pynq", say=print)
    assert board.log[-1][-4:] == ["-O", "exit", "--", "pynq"]


def test_host_that_does_not_answer(board: Board, tmp_path: Path) -> None:
    (board.folder / "unreachable").touch()
    with pytest.raises(ToolError, match=r"cannot connect to pynq.*No route to host"):
        deploy(runnable(tmp_path / "model.qdp"), "pynq", say=print)


def test_full_disk_there(board: Board, tmp_path: Path) -> None:
    (board.folder / "full").touch()
    with pytest.raises(ToolError, match="No space left on device"):
        deploy(runnable(tmp_path / "model.qdp"), "pynq", say=print)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no python3"),
        ("#!/bin/sh\nexit 1\n", "older than 3.8"),
        (f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n', "has no numpy"),
    ],
)
def test_python_that_is_none(text: str | None, words: str, board: Board, tmp_path: Path) -> None:
    tools = board.folder / "bin"
    for tool in ("bash", "mkdir", "env", "sh"):
        (tools / tool).symlink_to(f"/bin/{tool}")
    script(tmp_path / "bin" / "ssh", SSH.replace(":/usr/bin:/bin", ""))
    (tools / "python3").unlink()
    if text:
        board.program("python3", text)
    with pytest.raises(ToolError, match=words):
        deploy(runnable(tmp_path / "model.qdp"), "pynq", say=print)


def test_no_root_there(board: Board, tmp_path: Path) -> None:
    board.program("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    with pytest.raises(ToolError, match=r"a password is required(.|\n)*root is needed"):
        deploy(runnable(tmp_path / "model.qdp"), "pynq", say=print)


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=touch /tmp/x", "x@-oProxyCommand", "a b", "", "x@", "@x", "a;b", "$(a)", "a:b",
     "x@y@z", "a\n", "-x@host"],
)  # fmt: skip
def test_hosts_that_are_none(host: str, board: Board, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names no host"):
        deploy(write(tmp_path / "model.qdp"), host, say=print)
    assert not (board.folder / "log").exists()


def test_damaged_package_is_not_sent(board: Board, tmp_path: Path) -> None:
    path = runnable(tmp_path / "model.qdp")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged package"):
        deploy(path, "pynq", say=print)
    assert not (board.folder / "log").exists()


def test_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="ssh: is not installed"):
        deploy(runnable(tmp_path / "model.qdp"), "pynq", say=print)


def test_names_that_shells_would_read(board: Board, tmp_path: Path) -> None:
    deploy(runnable(tmp_path / "a b;touch x.qdp"), "pynq", say=print)
    assert open_package(board.home / "qdeploy/model.qdp")
    assert not (board.home / "x.qdp").exists()


def test_command_line(board: Board, tmp_path: Path) -> None:
    path = runnable(tmp_path / "model.qdp")
    answer = subprocess.run(
        [sys.executable, "-m", "qdeploy", "deploy", path, "--to", "xilinx@pynq"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == (
        "model.qdp is in the folder qdeploy of xilinx@pynq and works there"
    )
