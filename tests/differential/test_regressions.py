# SPDX-License-Identifier: Apache-2.0
"""Every file that was once lowered wrongly, again."""

from pathlib import Path

import onnx
import pytest
from comparison import compare

FILES = sorted((Path(__file__).parents[1] / "regressions").glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_replay(path, tmp_path):
    assert compare(onnx.load(path), tmp_path, samples=16) is not None
