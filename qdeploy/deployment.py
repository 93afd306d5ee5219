# SPDX-License-Identifier: Apache-2.0
"""A package onto a board over ssh: copy, install the runtime, preflight, self-test."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qdeploy.board import Package, open_package
from qdeploy.errors import ToolError, UserError
from qdeploy.wheel import write_board_wheel

FOLDER = "qdeploy"  # in the home directory there
_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OPTIONS = (
    *("ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3"),
    "LogLevel=ERROR",  # no word that connections were closed
)
_NO_CONNECTION = 255  # exit status of ssh itself
_TAIL = 4000  # bytes of output that an error may quote
_ERROR = "error: "  # in front of what our own commands say
# PYNQ's own environment, as its notebooks have it.
_ENVIRONMENT = (
    "for file in /etc/profile.d/pynq_venv.sh /etc/profile.d/xrt_setup.sh; do "
    'if [ -e "$file" ]; then . "$file"; fi; done; cd "$1" || exit; '
)
# Its exit statuses, what they mean, and what helps.
_PYTHON = (
    "command -v python3 > /dev/null || exit 90; "
    "python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || exit 91; "
    "python3 -c 'import numpy' 2> /dev/null || exit 92; "
)
_REASONS = {
    90: ("there is no python3", "use a board with PYNQ's image (pynq.io)"),
    91: ("its python3 is older than 3.8", "use an image of PYNQ 3.0 or newer"),
    92: ("its python3 has no numpy", "use a board with PYNQ's image (pynq.io)"),
}
_ROOT = (
    "root is needed there: log in as root (--to root@host), or allow sudo without a password; "
    "with a terminal sudo asks for it"
)


@dataclass(frozen=True)
class Step:
    """A command line of a deployment.

    Attributes:
        name: for people.
        command: program and arguments.
        remedy: what to do if it fails.
    """

    name: str
    command: tuple[str, ...]
    remedy: str = ""


def deploy(
    path: Path, host: str, *, port: int = 22, dry_run: bool = False, say: Callable[[str], None]
) -> None:
    """Copy a package to a board, install the runtime there, check the board, run the self-test.

    Args:
        path: of the package.
        host: where ssh shall go, "user@host".
        port: of its ssh server.
        dry_run: say the commands only.
        say: gets a line for each step.

    Raises:
        UserError: if the package is damaged or the host is no name of one.
        ToolError: if a step fails; names it, what the board said, and the remedy.
    """
    if not _HOST.fullmatch(host):
        raise UserError(f"'{host}' names no host", remedy="write --to user@host")
    package = open_package(path)
    for program in () if dry_run else ("ssh", "scp"):
        if shutil.which(program) is None:
            raise ToolError(program, "is not installed", remedy="apt-get install openssh-client")
    with tempfile.TemporaryDirectory() as folder:
        wheel = write_board_wheel(Path(folder))
        copy = Path(folder) / (path.name if _FILE.fullmatch(path.name) else "model.qdp")
        shutil.copyfile(path, copy)
        connection = _Connection(host, port, Path(folder) / "connection")
        steps = _steps(connection, package, wheel, copy)
        if dry_run:
            for step in (connection.open_step, *steps, connection.close_step):
                say(f"# {step.name}\n{shlex.join(step.command)}")
            return
        say(connection.open_step.name)
        connection.open()
        try:
            for step in steps:
                say(step.name)
                _run(step, host)
        finally:
            connection.close()


class _Connection:
    """One connection that all steps share, so that a password is asked for once."""

    def __init__(self, host: str, port: int, socket: Path) -> None:
        self.host, self.port = host, port
        options = (*_OPTIONS, f"Port={port}", f"ControlPath={socket}")
        self.options = tuple(word for option in options for word in ("-o", option))
        self.open_step = Step(f"connect to {host}", ("ssh", *self.options, "-MNf", "--", host))
        self.close_step = Step("disconnect", ("ssh", *self.options, "-O", "exit", "--", host))

    def open(self) -> None:
        # ssh stays in the background: a pipe would not end, and passwords need no output of ours.
        with tempfile.TemporaryFile("w+") as output:
            answer = subprocess.run(self.open_step.command, stderr=output, check=False)
            output.seek(0)
            words = output.read().strip().splitlines()
        if answer.returncode:
            raise ToolError(
                "ssh",
                f"cannot connect to {self.host}: {words[-1] if words else answer.returncode}",
                command=shlex.join(self.open_step.command),
                remedy=f"try 'ssh -p {self.port} {self.host}': is the board on, in this network, "
                "and the name right?",
            )

    def close(self) -> None:
        subprocess.run(self.close_step.command, capture_output=True, check=False)

    def remote(self, name: str, script: str, remedy: str) -> Step:
        """A bash script there as root, its argument the folder."""
        terminal = ("-t",) if sys.stdin.isatty() else ()  # sudo may ask for a password
        inner = shlex.quote(_ENVIRONMENT + script)
        text = (
            f"if [ $(id -u) = 0 ]; then sudo=; else sudo=sudo; fi; "
            f'$sudo bash -c {inner} {FOLDER} "$HOME/{FOLDER}"'
        )
        return Step(name, ("ssh", *self.options, *terminal, "--", self.host, text), remedy)

    def make_folder(self) -> Step:
        command = ("ssh", *self.options, "--", self.host, f"mkdir -p {FOLDER}")
        return Step(f"make the folder {FOLDER} there", command)

    def copy(self, *files: Path) -> Step:
        target = f"{self.host}:{FOLDER}/"
        command = ("scp", "-q", *self.options, "--", *map(str, files), target)
        return Step("copy runtime and package", command, "make room on the board's disk")


def _steps(connection: _Connection, package: Package, wheel: Path, copy: Path) -> list[Step]:
    board = "board.bit" in package
    install = (
        "exec python3 -m pip install --quiet --disable-pip-version-check --no-index --no-deps "
        f"--force-reinstall ./{wheel.name}"
    )
    call = f"exec python3 -m qdeploy.board {{}} {copy.name}"
    steps = [
        connection.make_folder(),
        connection.copy(wheel, copy),
        connection.remote("install the runtime", _PYTHON + install, _ROOT),
    ]
    if board:
        remedy = "do what the line above says, then deploy again"
        steps.append(connection.remote("preflight", call.format("preflight"), remedy))
    device = "board" if board else "cpu"
    remedy = "package the build again; if that does not help, report it: integers must be equal"
    test = call.format("selftest") + f" --device {device}"
    return [*steps, connection.remote(f"self-test on the {device}", test, remedy)]


def _run(step: Step, host: str) -> None:
    """Run a step and show its output."""
    output = b""
    with subprocess.Popen(
        step.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        # Not by lines: sudo's question for a password is none.
        while chunk := os.read(process.stdout.fileno(), 4096):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            output = (output + chunk)[-_TAIL:]
    status = process.returncode
    if not status:
        return
    said = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line[len(_ERROR) :] for line in said if line.startswith(_ERROR)]
    problem = (errors[:1] or said[-1:] or [""])[0]
    problem, remedy = _REASONS.get(status, (problem or f"exit status {status}", step.remedy))
    if status == _NO_CONNECTION:
        problem, remedy = f"the connection was lost: {problem}", "run the same command again"
    # The command is long and its connection is closed by now; --dry-run shows it.
    raise ToolError(f"{step.name} on {host}", problem, remedy=remedy)
