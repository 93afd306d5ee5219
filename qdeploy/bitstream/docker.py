# SPDX-License-Identifier: Apache-2.0
"""Vivado in a container: no network, no root, nothing of the vendor's in the image."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qdeploy.bitstream import processes
from qdeploy.bitstream.local import JOBS, STOPPED
from qdeploy.bitstream.log import Cause
from qdeploy.bitstream.preflight import licence_files
from qdeploy.bitstream.vivado import Installation
from qdeploy.errors import ToolError
from qdeploy.files import shipped_folder

BUILDER = 4000  # the user of the image
SECONDS_TO_ANSWER = 5
SECONDS_TO_STOP = 10
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_NO_NETWORK = re.compile(
    r"(?i)no such host|could not resolve|temporary failure|i/o timeout|network is unreachable"
    r"|failed to resolve|dial tcp|connection refused"
)
_LATER = re.compile(r"(?i)^(error|e): |error response|failed to|denied|not found")
_INSTALL = "see docs.docker.com/engine/install, or use --no-docker with Vivado on this machine"


class Container:
    """Vivado in a container of the image made from docker/bitstream.Dockerfile."""

    tool = "Docker"

    def __init__(self, installation: Installation, jobs: int | None, base: str | None) -> None:
        """Image of a container.

        Args:
            installation: Vivado, mounted from this machine.
            jobs: threads of Vivado, None for its own choice.
            base: image to build on; None takes that of the version's table.
        """
        self.installation = installation
        self.jobs = jobs
        self.base = base or installation.version.base
        dockerfile = (shipped_folder("docker") / "bitstream.Dockerfile").read_text()
        self.dockerfile = dockerfile
        digest = hashlib.sha256(f"{self.base}\0{dockerfile}".encode()).hexdigest()
        self.image = f"qdeploy-bitstream:{digest[:12]}"

    def check(self) -> None:
        """See that an engine answers.

        Raises:
            ToolError: if not.
        """
        answer = _docker("version", "--format", "{{.Server.Version}}", limit=SECONDS_TO_ANSWER)
        if answer.returncode:
            denied = "permission denied" in answer.stderr.lower()
            raise ToolError(
                "Docker",
                "this user may not use the engine" if denied else "no engine is running",
                command="docker version",
                remedy="add the user to group 'docker' and log in again"
                if denied
                else f"start it (systemctl start docker), {_INSTALL}",
            )

    def has_image(self) -> bool:
        """Whether the image is there."""
        return _docker("image", "inspect", self.image).returncode == 0

    def build_image(self, tell: Callable[[str], None]) -> float:
        """Build the image; `tell` gets every line that the engine prints.

        Returns:
            The seconds that it took.

        Raises:
            ToolError: if it cannot be built.
        """
        proxies = [f"--build-arg={name}" for name in _PROXIES if name in os.environ]
        command = ["docker", "build", "--network=host", f"--build-arg=BASE={self.base}", *proxies]
        command += ["--tag", self.image, "-"]
        lines = []
        started = time.monotonic()
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(self.dockerfile)
            process.stdin.close()
            for line in process.stdout:
                lines.append(line.rstrip())
                tell(line.rstrip())
        if process.returncode:
            raise self._refusal(lines, command)
        return time.monotonic() - started

    def _refusal(self, lines: list[str], command: list[str]) -> ToolError:
        failed = [line for line in lines if _LATER.search(line)] or lines[-1:]
        offline = next((line for line in lines if _NO_NETWORK.search(line)), None)
        if offline:
            return ToolError(
                "Docker",
                f"there is no image {self.image} and no network to build it: {offline[:300]}",
                remedy="connect once to build it, or give --base-image an image that is here",
            )
        return ToolError(
            "Docker",
            f"image {self.image} cannot be built on {self.base}: {' '.join(failed[:1])[:300]}",
            command=f"{' '.join(command)} < docker/bitstream.Dockerfile",
            remedy="give --base-image a Debian or Ubuntu that Vivado runs on",
        )

    def prepare(self, project: Path) -> None:
        """See `Place`; root's projects go to the image's user."""
        self.stop(project)
        home = project / "home"
        home.mkdir(exist_ok=True)
        if os.getuid() == 0:
            for path in (project, *project.rglob("*")):
                os.chown(path, BUILDER, BUILDER, follow_symlinks=False)

    def command(self, project: Path, arguments: Sequence[str]) -> list[str]:
        """See `Place`; all folders have the same names inside and outside."""
        user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else f"{BUILDER}:{BUILDER}"
        folder = self.installation.folder
        vendor = folder.parent if folder.name == "Vivado" else folder
        command = ["docker", "run", "--name", _name(project), "--init", "--network=none"]
        command += ["--user", user, "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        command += ["--volume", f"{project}:{project}", "--workdir", str(project)]
        command += ["--volume", f"{vendor}:{vendor}:ro"]
        command += ["--env", f"HOME={project / 'home'}"]
        if self.jobs:
            command += ["--env", f"{JOBS}={self.jobs}"]
        licences = licence_files()
        for path in licences:
            command += ["--volume", f"{path}:{path}:ro"]
        if licences:
            command += ["--env", f"XILINXD_LICENSE_FILE={':'.join(map(str, licences))}"]
        return [*command, self.image, str(self.installation.program), *arguments]

    def environment(self, project: Path) -> Mapping[str, str]:
        """See `Place`."""
        return processes.marked(project)

    def stop(self, project: Path) -> None:
        """See `Place`."""
        if _docker("container", "inspect", _name(project)).returncode == 0:
            _docker("stop", f"--time={SECONDS_TO_STOP}", _name(project))
            _docker("rm", "--force", _name(project))
        processes.stop(project)

    def ended(self, project: Path, code: int) -> Cause | None:
        """See `Place`."""
        answer = _docker("container", "inspect", "--format", "{{.State.OOMKilled}}", _name(project))
        if answer.stdout.strip() == "true":
            return Cause(
                "memory",
                "the container's memory is full",
                f"allow containers more memory; {STOPPED}",
            )
        if answer.returncode:
            return Cause("stopped", f"the engine or its container is gone (exit {code})", STOPPED)
        if code in {128 + 2, 128 + 9, 128 + 15}:
            return Cause(
                "stopped", f"the container was stopped from outside (exit {code})", STOPPED
            )
        return None


def _name(project: Path) -> str:
    return f"qdeploy-{hashlib.sha256(str(project).encode()).hexdigest()[:12]}"


def _docker(*arguments: str, limit: float = 60) -> subprocess.CompletedProcess[str]:
    """A docker command that answers within `limit` seconds.

    Raises:
        ToolError: if there is no docker or no answer.
    """
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except OSError as error:
        raise ToolError("Docker", "there is no program 'docker'", remedy=_INSTALL) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            "Docker",
            "the engine does not answer",
            command=" ".join(command),
            remedy="start the Docker engine again",
        ) from error
