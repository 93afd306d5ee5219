# SPDX-License-Identifier: Apache-2.0
"""The wheel for boards: `qdeploy.board` and what it imports, for `pip install --no-deps`."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import qdeploy
from qdeploy.board.package import MODE, UNIX
from qdeploy.files import PACKAGE, atomic_file

_NAME = "qdeploy_board"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that an archive can name
_METADATA = """\
Metadata-Version: 2.1
Name: qdeploy-board
Version: {version}
Summary: Runs packages of qdeploy on a board
License: Apache-2.0
Requires-Python: >=3.8
Requires-Dist: numpy
"""
_WHEEL = """\
Wheel-Version: 1.0
Generator: qdeploy {version}
Root-Is-Purelib: true
Tag: py3-none-any
"""


def write_board_wheel(folder: Path) -> Path:
    """Write qdeploy_board-<version>-py3-none-any.whl into `folder`; the same bytes every time."""
    version = qdeploy.__version__
    own = [PACKAGE / name for name in ("__init__.py", "errors.py", "real_values.py")]
    files = {
        f"qdeploy/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted([*own, *(PACKAGE / "board").rglob("*.py")])
    }
    about = f"{_NAME}-{version}.dist-info"
    files[f"{about}/METADATA"] = _METADATA.format(version=version).encode()
    files[f"{about}/WHEEL"] = _WHEEL.format(version=version).encode()
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""]).encode()
    path = folder / f"{_NAME}-{version}-py3-none-any.whl"
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in files.items():
            information = zipfile.ZipInfo(name, _EPOCH)
            information.create_system = UNIX
            information.external_attr = MODE << 16
            archive.writestr(information, content)
    return path


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
