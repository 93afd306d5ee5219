# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from qonnx_files import QonnxFile
from sample_networks import small_cnn, small_mlp

from qdeploy.errors import InternalError, UserError
from qdeploy.verification import load_data, predictions, random_data, require_equal
from qdeploy.verification.targets import verify_file


def test_random_data_reaches_every_code():
    for network in (small_cnn(), small_mlp()):
        codes = network.quantizer.quantize(random_data(network).x)
        assert set(codes.ravel()) == set(
            range(network.input_tensor.range.low, network.input_tensor.range.high + 1)
        )


def test_first_difference_is_named():
    expected = np.arange(6).reshape(2, 3)
    require_equal(expected, expected.copy(), "cpu")
    got = expected.copy()
    got[1, 1] = 9
    with pytest.raises(
        InternalError, match=r"cpu differs .* 1 of 6 .* \(1, 1\): expected 4, got 9"
    ):
        require_equal(expected, got, "cpu")
    with pytest.raises(InternalError, match="shape"):
        require_equal(expected, expected[:1], "cpu")


def test_data_files_are_checked(tmp_path):
    network = small_mlp()
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((3, 24)), y=np.zeros(2))
    with pytest.raises(UserError, match="3 inputs, but classes of shape"):
        load_data(path, network)
    np.savez(path, z=np.zeros(3))
    with pytest.raises(UserError, match="cannot use"):
        load_data(path, network)
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(UserError, match="cannot use"):
        load_data(path, network)
    np.savez(path, x=np.zeros((3, 24)))
    assert load_data(path, network).y is None


def test_predictions_of_logits_and_classes():
    assert predictions(np.array([[1, 3, 3], [2, 0, 1]])).tolist() == [1, 0]
    assert predictions(np.array([[4], [7]])).tolist() == [4, 7]


def test_classes_are_those_of_the_real_outputs(tmp_path):
    """Each class has a scale of its own: 1 · x is more than 3/4 · x, though 3 > 1."""
    f = QonnxFile((1,))
    weights = f.quant(f.constant([[1.0, 0.75]]), [1.0, 0.25], 3, narrow=1)
    x = f.quant("x", 1.0, 2, signed=0)
    f.save(f.node("MatMul", x, weights, name="/fc/MatMul"), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=np.array([[1.0], [2.0], [3.0]]), y=np.zeros(3, np.int64))
    found = verify_file(tmp_path / "net.onnx", tmp_path / "data.npz")
    assert found.correct == {"integer": 3, "cpu": 3}
