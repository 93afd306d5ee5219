# SPDX-License-Identifier: Apache-2.0
"""A Docker engine for tests: the one that runs, or one started for them on a socket of its own.

The own engine leaves the network of this machine as it is: its containers use the host's network or
none. There is no registry: the base image is made of Debian packages by mmdebstrap. What was made
stays in the user's cache folder.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qdeploy.files import atomic_file, cache_folder

BASE = "qdeploy-test-base:bookworm"
SECONDS_TO_START = 30
_ENVIRONMENT = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def docker(*arguments: str) -> str:
    """Output of a docker command that succeeds."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def answers() -> bool:
    """Whether an engine answers."""
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@contextmanager
def running_engine(name: str) -> Iterator[None]:
    """An engine that `docker` reaches in the block; skips the test where none can be started.

    An own engine keeps its images in a folder `name` of the user's cache folder; one run of tests
    at a time has it.
    """
    if answers():
        yield
        return
    missing = [name for name in ("docker", "dockerd") if shutil.which(name) is None]
    if missing or os.getuid():
        reason = f"{', '.join(missing)} missing" if missing else "only root can start one"
        pytest.skip(f"no Docker engine is running, and none can be started: {reason}")
    with (cache_folder("docker") / f"{name}.lock").open("w") as lock, _scratch() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        socket = f"unix://{folder}/docker.sock"
        places = [f"--data-root={cache_folder('docker') / name}", f"--exec-root={folder}/exec"]
        network = ["--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={socket}"]
        command = ["dockerd", *places, f"--pidfile={folder}/pid", *network]
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", socket)
            try:
                _wait_for(engine, folder / "log")
                yield
            finally:
                engine.terminate()
                engine.wait(60)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for an engine; its network namespace stays mounted there."""
    folder = Path(tempfile.mkdtemp(prefix="qdeploy-docker-"))
    try:
        yield folder
    finally:
        namespace = str(folder / "exec" / "netns" / "default")
        subprocess.run(["umount", namespace], capture_output=True, check=False)
        shutil.rmtree(folder)


def _wait_for(engine: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers():
        if engine.poll() is not None or time.monotonic() > deadline:
            last = log.read_text().strip().splitlines()[-1:]
            pytest.skip(f"no Docker engine is running, and dockerd does not start: {last}")
        time.sleep(0.1)


def provide_base() -> None:
    """See that the engine has image BASE: Debian 12 with Tcl, which the stub Vivado needs."""
    if has(BASE):
        return
    tar = cache_folder("docker") / "bookworm-tcl.tar"
    if not tar.exists():
        if shutil.which("mmdebstrap") is None:
            pytest.skip("there is no base image and no mmdebstrap to make one")
        with atomic_file(tar) as partial:
            options = [
                "--variant=minbase",
                "--architectures=amd64",
                "--include=tcl",
                "--format=tar",
            ]
            options.append('--aptopt=Acquire::Languages "none"')
            made = subprocess.run(
                ["mmdebstrap", *options, "bookworm", str(partial)],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                pytest.skip(f"no base image can be made: {made.stderr.strip().splitlines()[-1:]}")
    tar.touch()
    docker("import", "--change", f"ENV {_ENVIRONMENT}", str(tar), BASE)


def has(image: str) -> bool:
    """Whether the engine has an image."""
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
