# SPDX-License-Identifier: Apache-2.0
"""An interrupted training goes on and ends as an uninterrupted one; several processes share it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from shared_training import METHODS

from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import SyqConfig
from qdeploy.training import load_training_result, train
from qdeploy.training.config import DataConfig, TrainingConfig
from qdeploy.training.task import Classification

NETWORK = NetworkConfig(channels=(2, 3))
TRAINING = TrainingConfig(float_epochs=2, epochs=2)
DATA = DataConfig(samples=256)
STEPS = 4 * 2  # of both float epochs


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """An uninterrupted training."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "whole"
    folder.mkdir()
    train(DATA, NETWORK, SyqConfig(), TRAINING, folder)
    return folder


def interrupt(folder, after, monkeypatch):
    """Start the same training again and stop it in step `after`."""
    folder.mkdir()
    loss, seen = Classification.loss, []

    def interrupted(self, outputs, targets):
        seen.append(1)
        if len(seen) == after:
            raise KeyboardInterrupt
        return loss(self, outputs, targets)

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(DATA, NETWORK, SyqConfig(), TRAINING, folder)


def states(tmp_path):
    return sorted((tmp_path / "cache" / "qdeploy" / "training").iterdir())


def assert_equal(one, other):
    for name in ("network.safetensors", "float.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("after", [STEPS - 1, STEPS + 5], ids=["float", "quantized"])
def test_interrupted_training_goes_on(after, whole, tmp_path, monkeypatch):
    assert not states(tmp_path)
    interrupt(tmp_path / "resumed", after, monkeypatch)
    assert len(states(tmp_path)) == 1 + (after > STEPS)
    loss, seen = Classification.loss, []
    monkeypatch.setattr(Classification, "loss", lambda *a: (seen.append(1), loss(*a))[1])
    train(DATA, NETWORK, SyqConfig(), TRAINING, tmp_path / "resumed")
    assert len(seen) == 2 * STEPS - (after // 4) * 4  # whole epochs are not done again
    assert_equal(tmp_path / "resumed", whole)
    assert not states(tmp_path)


@pytest.mark.parametrize("junk", [b"", b"junk" * 100])
def test_a_damaged_state_is_not_used(junk, whole, tmp_path, monkeypatch):
    interrupt(tmp_path / "resumed", STEPS - 1, monkeypatch)
    (state,) = states(tmp_path)
    state.write_bytes(junk)
    train(DATA, NETWORK, SyqConfig(), TRAINING, tmp_path / "resumed")
    assert_equal(tmp_path / "resumed", whole)


def two_processes(tmp_path, *command):
    """Run a Python program as `torchrun` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    shared |= {"GLOO_SOCKET_IFNAME": "lo", "TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, *command], env=os.environ | shared | {"RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]


def test_two_processes_train_one_recipe(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "shared"\n[data]\nsamples = 256\n[network]\nchannels = [2, 3]\n'
        "[training]\nfloat_epochs = 1\nepochs = 1\n"
    )
    two_processes(tmp_path, "-m", "qdeploy", "train", str(recipe), "-o", str(tmp_path / "run"))
    assert load_training_result(tmp_path / "run").accuracy > 0.05
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml", "run"}


def test_two_processes_end_with_the_same_parameters(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = Path(__file__).with_name("shared_training.py")
    two_processes(tmp_path, str(program), str(tmp_path))
    for method in METHODS:
        assert_equal(tmp_path / f"{method}-0", tmp_path / f"{method}-1")
