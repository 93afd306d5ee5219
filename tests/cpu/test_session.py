# SPDX-License-Identifier: Apache-2.0
"""Loading and calling packed models."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from random_networks import inputs
from sample_networks import small_cnn

from qdeploy import integer
from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError

NETWORK = small_cnn()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(NETWORK, tmp_path_factory.mktemp("packed") / "cpu.onnx").path


@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
@pytest.mark.parametrize("threads", [0, 1])
def test_any_batch_size(packed: Path, count: int, threads: int) -> None:
    x = inputs(NETWORK, count)
    got = Session(packed, threads).run_integers(x)
    # The reference takes at least one image.
    expected = integer.run(NETWORK, x) if count else np.zeros((0, 10), np.int64)
    assert np.array_equal(got, expected)


def test_single_image_and_other_types(packed: Path) -> None:
    image = np.arange(64).reshape(1, 8, 8) % 3
    expected = integer.run(NETWORK, image)
    assert np.array_equal(Session(packed).run_integers(image), expected)
    assert np.array_equal(Session(packed).run_integers(image.tolist()), expected)
    assert np.array_equal(Session(packed).run(image), NETWORK.real_output(expected))


def test_bad_inputs(packed: Path) -> None:
    session = Session(packed)
    with pytest.raises(UserError, match=r"\(2, 8, 8\).*\('N', 1, 8, 8\)"):
        session.run(np.zeros((2, 8, 8)))
    with pytest.raises(UserError, match="NaN"):
        session.run_integers(np.full((1, 1, 8, 8), np.nan))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        Session(tmp_path / "cpu.onnx")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file(
    packed: Path, tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    content = packed.read_bytes()
    damaged = tmp_path / "cpu.onnx"
    damaged.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"damaged or no ONNX model(.|\n)*What to do"):
        Session(damaged)
    assert capfd.readouterr() == ("", "")


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "cpu.onnx"
    path.write_text("a note")
    with pytest.raises(UserError, match="damaged or no ONNX model"):
        Session(path)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    with pytest.raises(UserError, match="not written by qdeploy"):
        Session(path)
