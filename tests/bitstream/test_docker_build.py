# SPDX-License-Identifier: Apache-2.0
"""The image builds, and the stub Vivado, mounted from the host, builds a bitstream in it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bitstream_runs import PHASES, make, start
from docker_engine import BASE, docker

from qdeploy.bitstream.docker import BUILDER, Container
from qdeploy.bitstream.results import bitstream_of
from qdeploy.bitstream.vivado import Installation
from qdeploy.build import open_build
from qdeploy.errors import ToolError

pytestmark = pytest.mark.slow

# Says who and where it is, and is the stub.
_VIVADO = """\
#!/bin/sh
{{ id -u; id -g; echo /sys/class/net/*; grep /Vivado/ /proc/mounts; echo "$HOME"; }} > whereabouts
export VIVADO_STUB="{stub}"
exec "$(dirname "$0")/stub" "$@"
"""


@pytest.fixture
def container(engine: None, vivado: Installation) -> Container:
    """The container of this test's Vivado."""
    vivado.program.rename(vivado.program.with_name("stub"))
    pretend(vivado, "")
    return Container(vivado, None, BASE)


def pretend(vivado: Installation, stub: str) -> None:
    vivado.program.write_text(_VIVADO.format(stub=stub))
    vivado.program.chmod(0o755)


def containers(build: Path) -> list[str]:
    """Containers that have the build's project mounted, running or not."""
    (project,) = (build / "vivado").iterdir()
    return docker("ps", "--all", "--quiet", "--filter", f"volume={project}").split()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def at_synthesis(build: Path) -> bool:
    logs = list((build / "vivado").glob("*/synthesis.log"))
    return bool(logs) and "Launched" in logs[0].read_text()


def test_the_flow_runs_without_root_and_network(
    build: Path, vivado: Installation, container: Container
) -> None:
    report, record = make(build, vivado, container)
    assert [phase for phase in record.entered if phase != "image"] == PHASES
    assert report.implementation is not None
    assert bitstream_of(open_build(build)) is not None
    (project,) = (build / "vivado").iterdir()
    user, group, network, mount, home = (project / "whereabouts").read_text().splitlines()
    mine = (os.getuid(), os.getgid()) if os.getuid() else (BUILDER, BUILDER)
    assert (int(user), int(group)) == mine
    assert network == "/sys/class/net/lo"
    assert mount.split()[3].split(",")[0] == "ro"
    assert home == str(project / "home")
    assert not containers(build)
    # The vendor's tools are no part of the image.
    outside = docker("run", "--rm", "--network=none", container.image, "ls", "/")
    assert "tools" not in outside.split()
    _, record = make(build, vivado, container)
    assert not record.entered


def test_docker_stop_in_mid_build(build: Path, vivado: Installation, container: Container) -> None:
    pretend(vivado, "seconds=60")
    process = start(build, vivado, "", "--base-image", BASE)
    wait_for(lambda: at_synthesis(build) or process.poll() is not None, 300)
    docker("stop", "--time=1", *containers(build))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == ToolError.exit_code, output
    assert output.count("error:") == 1
    assert "Docker: phase synthesis: the container was stopped from outside" in output
    assert "run the same command again" in output
    assert not containers(build)
    pretend(vivado, "")
    _, record = make(build, vivado, container)
    assert record.reused == ["package", "design"]


def test_ctrl_c_and_sigkill(build: Path, vivado: Installation, container: Container) -> None:
    pretend(vivado, "seconds=60")
    process = start(build, vivado, "", "--base-image", BASE)
    wait_for(lambda: at_synthesis(build) or process.poll() is not None, 300)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert not containers(build)
    next((build / "vivado").glob("*/synthesis.log")).unlink()
    process = start(build, vivado, "", "--base-image", BASE)
    wait_for(lambda: at_synthesis(build))
    process.kill()
    process.communicate()
    assert len(containers(build)) == 1
    pretend(vivado, "")
    _, record = make(build, vivado, container)
    assert record.reused == ["package", "design"]
    assert not containers(build)


def test_a_base_that_does_not_exist(
    build: Path, vivado: Installation, engine: None, tmp_path: Path
) -> None:
    container = Container(vivado, None, "localhost:1/no/such:base")
    with pytest.raises(ToolError, match="image qdeploy-bitstream") as raised:
        make(build, vivado, container)
    assert "--base-image" in str(raised.value)


def test_a_base_on_which_nothing_can_be_installed(
    build: Path, vivado: Installation, engine: None
) -> None:
    empty = subprocess.run(
        ["docker", "import", "-", "qdeploy-test-empty"],
        input=bytes(1024),
        capture_output=True,
        check=False,
    )
    assert empty.returncode == 0
    with pytest.raises(ToolError, match="cannot be built on qdeploy-test-empty"):
        make(build, vivado, Container(vivado, None, "qdeploy-test-empty"))
    docker("rmi", "qdeploy-test-empty")
