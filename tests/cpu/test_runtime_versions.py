# SPDX-License-Identifier: Apache-2.0
"""A packed model in the oldest ONNX Runtime that we promise, one in between and the newest.

Their wheels come from PyPI once and stay in the project's `.cache`.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from program_networks import partial_network
from random_networks import inputs
from sample_networks import branching_network

from qdeploy import integer
from qdeploy.cpu import Session, pack
from qdeploy.files import atomic_directory
from qdeploy.integer import IntegerNetwork

PROJECT = Path(__file__).parents[2]
# What each version needs in the place of the installed packages: 1.17 is built for numpy 1.
VERSIONS = {"1.17.3": ("numpy==1.26.4", "ml_dtypes==0.5.4"), "1.20.1": (), "1.31.1": ()}
NETWORKS = (partial_network("softmax"), branching_network())
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import onnxruntime
from qdeploy.cpu import Session

folder = Path(sys.argv[1])
x = np.load(folder / "x.npy")
print(onnxruntime.__version__)
for portable in (False, True):
    session = Session(folder / "cpu.onnx", 2, portable=portable)
    np.save(folder / f"{session.fast}.npy", session.run_integers(x))
"""


def wheel(version: str) -> Path:
    """Folder of an ONNX Runtime, which pip fills if it is not there."""
    folder = PROJECT / ".cache" / f"onnxruntime-{version}"
    if not folder.is_dir():
        with atomic_directory(folder) as partial:
            done = pip(partial, f"onnxruntime=={version}", *VERSIONS[version])
            if done.returncode:
                pytest.skip(f"pip cannot get ONNX Runtime {version}: {done.stderr.strip()}")
    return folder


def pip(folder: Path, *packages: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    command += ["install", "--no-deps", "--only-binary=:all:", "--target", str(folder), *packages]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_both_forms_give_the_integers(
    version: str, network: IntegerNetwork, tmp_path: Path
) -> None:
    packed = pack(network, tmp_path / "cpu.onnx").path
    x = inputs(network, 5)
    np.save(tmp_path / "x.npy", x)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={"PYTHONPATH": f"{wheel(version)}:{PROJECT}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [version]
    for fast in {Session(packed).fast, False}:
        got = np.load(tmp_path / f"{fast}.npy")
        assert np.array_equal(got, integer.run(network, x))
