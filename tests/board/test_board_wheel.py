# SPDX-License-Identifier: Apache-2.0
"""The wheel for boards in the versions of Python that boards have: pip installs it, it works."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from environments import NUMPY, python
from packages import write

import qdeploy
from qdeploy.wheel import write_board_wheel

PROGRAM = """
import sys
import numpy as np
import qdeploy
from qdeploy.board import open_package
from qdeploy.board.conversion import Conversion
from qdeploy.board.streams import pack_frames, unpack_frames
from qdeploy.errors import UserError

assert qdeploy.__file__.startswith(sys.argv[2])
package = open_package(sys.argv[1])
conversion, streams = Conversion(package), package.manifest.streams
codes = conversion.codes(package.array("selftest/input.npy"))
integers = package.array("selftest/integers.npy")
for values, stream in ((codes, streams.input), (integers, streams.output)):
    assert np.array_equal(unpack_frames(pack_frames(values, stream), stream), values)
assert np.array_equal(conversion.reals(integers), package.array("selftest/output.npy"))
for device, words in (("cpu", "no program for its processor"), ("sim", "whole of qdeploy"),
                      ("board", "holds no bitstream")):
    try:
        qdeploy.load(sys.argv[1], device)
    except UserError as error:
        assert words in str(error), error
    else:
        raise AssertionError(device)
print(sys.version_info[:2], np.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_board_wheel(tmp_path_factory.mktemp("wheel"))


def test_contents(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"qdeploy_board-{qdeploy.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "qdeploy/board/package.py" in names
    assert {name.split("/")[1] for name in names if name.startswith("qdeploy/")} == {
        "__init__.py", "errors.py", "real_values.py", "board",
    }  # fmt: skip
    assert write_board_wheel(tmp_path).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("version", NUMPY)
def test_pip_installs_it(version: str, wheel: Path, tmp_path: Path) -> None:
    interpreter, folder = python(version, NUMPY[version]), tmp_path / "site"
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
    subprocess.run([interpreter, *pip, "--quiet", "--target", folder, wheel], check=True)
    package = write(tmp_path / "model.qdp")
    answer = subprocess.run(
        [interpreter, "-c", PROGRAM, package, folder],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    major, minor = version.split(".")
    assert answer.stdout.startswith(f"({major}, {minor}) ")
    answer = subprocess.run(
        [interpreter, "-m", "qdeploy.board", "selftest", package],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "no program for its processor" in answer.stderr
