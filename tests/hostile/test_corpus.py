# SPDX-License-Identifier: Apache-2.0
"""Every hostile file gives one UserError with a remedy, soon and in little memory."""

import bad_attributes  # noqa: F401 (these register their entries)
import bad_data  # noqa: F401
import bad_files  # noqa: F401
import bad_graphs  # noqa: F401
import bad_nodes  # noqa: F401
import bad_operators  # noqa: F401
import bad_quantizers  # noqa: F401
import bad_rearrangement  # noqa: F401
import bad_tensors  # noqa: F401
import pytest
from corpus import CORPUS, content, valid
from limits import limited

from qdeploy.errors import UserError
from qdeploy.lowering import lower


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_refused(name, tmp_path):
    path = tmp_path / "hostile.onnx"
    path.write_bytes(content(CORPUS[name]))
    with limited(seconds=5, megabytes=512), pytest.raises(UserError) as caught:
        lower(path)
    assert caught.value.remedy
    assert len(str(caught.value)) < 2000


def test_undamaged(tmp_path):
    """Without damage the same network lowers, so that each refusal is due to the damage."""
    path = tmp_path / "valid.onnx"
    path.write_bytes(valid().SerializeToString())
    assert len(lower(path).nodes) == 5


def test_size():
    assert len(CORPUS) >= 60
