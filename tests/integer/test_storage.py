# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from sample_networks import branching_network, small_cnn, small_mlp

from qdeploy.errors import UserError
from qdeploy.integer import load, run, save


@pytest.mark.parametrize(
    "network", [small_cnn(), small_mlp(), branching_network()], ids=["cnn", "mlp", "branches"]
)
def test_round_trip_keeps_meaning_and_bytes(network, tmp_path):
    save(network, tmp_path / "a.npz")
    loaded = load(tmp_path / "a.npz")
    save(loaded, tmp_path / "b.npz")
    x = np.random.default_rng(1).random((4, *network.input_tensor.shape))
    assert np.array_equal(run(loaded, x), run(network, x))
    assert loaded.tensors == network.tensors
    assert [node.inputs for node in loaded.nodes] == [node.inputs for node in network.nodes]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    save(small_mlp(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:position])
        with pytest.raises(UserError, match="integer network"):
            load(path)
    with pytest.raises(UserError, match="no integer network"):
        load(tmp_path / "missing.npz")
