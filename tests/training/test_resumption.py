# SPDX-License-Identifier: Apache-2.0
"""An interrupted training goes on and ends as an uninterrupted one; several processes share it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shared_training import TRAININGS, interrupted, noisy

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


def interrupt(folder, after):
    """Start the same training again and stop it in step `after`."""
    folder.mkdir()
    with interrupted(after):
        train(DATA, NETWORK, SyqConfig(), TRAINING, folder)
        pytest.fail("it went on")


def states(tmp_path):
    return sorted((tmp_path / "cache" / "qdeploy" / "training").iterdir())


def assert_equal(one, other):
    for name in ("network.safetensors", "float.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("after", [STEPS - 1, STEPS + 5], ids=["float", "quantized"])
def test_interrupted_training_goes_on(after, whole, tmp_path, monkeypatch):
    assert not states(tmp_path)
    interrupt(tmp_path / "resumed", after)
    assert len(states(tmp_path)) == 1 + (after > STEPS)
    loss, seen = Classification.loss, []
    monkeypatch.setattr(Classification, "loss", lambda *a: (seen.append(1), loss(*a))[1])
    train(DATA, NETWORK, SyqConfig(), TRAINING, tmp_path / "resumed")
    assert len(seen) == 2 * STEPS - (after // 4) * 4  # whole epochs are not done again
    assert_equal(tmp_path / "resumed", whole)
    assert not states(tmp_path)


@pytest.mark.parametrize("junk", [b"", b"junk" * 100])
def test_a_damaged_state_is_not_used(junk, whole, tmp_path):
    interrupt(tmp_path / "resumed", STEPS - 1)
    (state,) = states(tmp_path)
    state.write_bytes(junk)
    train(DATA, NETWORK, SyqConfig(), TRAINING, tmp_path / "resumed")
    assert_equal(tmp_path / "resumed", whole)


@pytest.mark.parametrize("name", TRAININGS)
def test_every_method_goes_on(name, tmp_path, monkeypatch):
    """Interrupted after each epoch, in the first step of the next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    training, resumed = TRAININGS[name], tmp_path / "resumed"
    steps = 3 if name == "lstm" else 4
    with noisy():
        training.run(tmp_path / "whole")
        record = json.loads((tmp_path / "whole" / "training.json").read_text())
        epochs = sum(len(record[part]["epochs"]) for part in ("float", "quantized"))
        for _ in range(epochs - 1):
            with interrupted(steps + 1):
                training.run(resumed)
                pytest.fail("it went on")
        with interrupted(steps + 1):
            training.run(resumed)
    assert_equal(resumed, tmp_path / "whole")
    again = json.loads((resumed / "training.json").read_text())
    assert (again["float"], again["quantized"]) == (record["float"], record["quantized"])
    assert not states(tmp_path)


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
    assert [process.wait(timeout=300) for process in processes] == [0, 0]


def test_two_processes_train_one_recipe(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "shared"\n[data]\nsamples = 256\n[network]\nchannels = [2, 3]\n'
        "[training]\nfloat_epochs = 1\nepochs = 1\n"
    )
    two_processes(tmp_path, "-m", "qdeploy", "train", str(recipe), "-o", str(tmp_path / "run"))
    assert load_training_result(tmp_path / "run").accuracy > 0.05
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml", "run"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What two processes wrote."""
    folder = tmp_path_factory.mktemp("shared")
    two_processes(folder, str(Path(__file__).with_name("shared_training.py")), str(folder))
    return folder


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_have_the_same_parameters(name, shared):
    """By themselves in every epoch, before those of the first are given to the other."""
    one, other = (shared / f"{name}-{rank}" for rank in range(2))
    assert_equal(one, other)
    mine, theirs = (load_file(folder / "before.safetensors") for folder in (one, other))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_two_processes_are_as_one(shared, tmp_path, monkeypatch):
    """Gradients are those of the whole batch, however it is cut: of 7 sequences into 4 and 3."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    TRAININGS["lstm"].run(tmp_path / "alone")
    alone = load_file(tmp_path / "alone" / "float.safetensors")
    together = load_file(shared / "lstm-0" / "float.safetensors")
    for name, parameter in alone.items():
        torch.testing.assert_close(together[name], parameter, rtol=0, atol=1e-5)


def test_two_processes_go_on_from_the_file_of_the_first(shared):
    for rank in range(2):
        assert_equal(shared / f"resumed-{rank}", shared / f"syq-{rank}")
        assert not list((shared / f"cache-{rank}").glob("**/training/*"))


def test_what_one_process_refuses_ends_both(shared):
    for rank in range(2):
        problems = (shared / f"refused-{rank}" / "problems").read_text().splitlines()
        assert problems == ["a budget of 1", "a batch of 1 samples for 2 processes"]
