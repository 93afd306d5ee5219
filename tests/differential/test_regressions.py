# SPDX-License-Identifier: Apache-2.0
"""Every file that was once lowered wrongly, again."""

from pathlib import Path

import onnx
import pytest
from comparison import compare

FILES = sorted((Path(__file__).parents[1] / "regressions").glob("*.onnx"))
# Not yet lowered rightly.
PENDING: set[str] = set()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=[pytest.mark.xfail(strict=True)] * (path.stem in PENDING)
        )
        for path in FILES
    ],
)
def test_replay(path, tmp_path):
    assert compare(onnx.load(path), tmp_path, samples=16) is not None
