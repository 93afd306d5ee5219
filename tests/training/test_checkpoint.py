# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what was saved comes back; anything else is one clear error."""

import json
import pickle

import pytest
import torch
from quantized_networks import quantized_network
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qdeploy.errors import UserError
from qdeploy.networks import NetworkConfig
from qdeploy.training import checkpoint

CONFIG = NetworkConfig(channels=(3, 4))


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = quantized_network(channels=CONFIG.channels, granularity="row", activations=3)
    network(torch.rand(4, 1, 8, 8))  # sets scales and statistics
    return network.eval()


@pytest.fixture
def path(network, tmp_path):
    path = tmp_path / "network.safetensors"
    checkpoint.save(network, path)
    return path


def rewrite(path, change, metadata=None):
    tensors = load_file(path)
    change(tensors)
    if metadata is None:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
    save_file(tensors, path, metadata)


def test_round_trip(network, path):
    loaded = checkpoint.load(path)
    assert loaded.config == CONFIG
    assert loaded.quantization == network.quantization
    assert loaded.quantization.granularity == "row"
    assert not loaded.training
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(loaded(x), network(x))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "laq", "weights": "two-scale"},
        {"method": "laq", "weights": "logarithmic"},
        {"method": "brevitas", "weights": "ternary"},
    ],
)
def test_round_trip_of_other_methods(options, tmp_path):
    network = quantized_network(channels=CONFIG.channels, **options)
    x = torch.rand(4, 1, 8, 8)
    network(x)
    checkpoint.save(network.eval(), tmp_path / "network.safetensors")
    loaded = checkpoint.load(tmp_path / "network.safetensors")
    assert torch.equal(loaded(x), network(x))


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(path)


def test_a_pickle_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    path = tmp_path / "network.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(path)
    assert not (tmp_path / "opened").exists()


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        checkpoint.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"qdeploy.network": "not json"},
        {"qdeploy.network": json.dumps({"name": "unknown"})},
        {"qdeploy.network": json.dumps({"code": "print()"})},
        {"qdeploy.network": json.dumps({"network": {}, "quantization": {"method": "magic"}})},
        {"qdeploy.network": json.dumps({"network": {}})},
    ],
)
def test_wrong_metadata(path, metadata):
    rewrite(path, lambda tensors: None, metadata)
    with pytest.raises(UserError, match="describes no network"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("fc.weight"), "'fc.weight'"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "'extra'"),
        (lambda tensors: tensors.update({"bn1.weight": torch.zeros(7)}), r"\[7\], not"),
        (lambda tensors: tensors.update({"bn1.bias": torch.zeros(3, dtype=torch.int32)}), "int32"),
        (lambda tensors: tensors["fc.weight"].fill_(float("nan")), "infinite"),
    ],
)
def test_wrong_tensors(path, change, message):
    rewrite(path, change)
    with pytest.raises(UserError, match=message):
        checkpoint.load(path)
