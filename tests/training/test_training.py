# SPDX-License-Identifier: Apache-2.0
"""Training end to end, on the real images."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import qdeploy
from qdeploy.errors import UserError
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.quantizers.config import SyqConfig
from qdeploy.quantizers.quantize import quantize
from qdeploy.training import checkpoint, datasets, load_training_result, predict, train
from qdeploy.training.config import DataConfig, TrainingConfig
from qdeploy.training.phases import adam

SMALL = NetworkConfig(channels=(4, 8))
SHORT = TrainingConfig(float_epochs=3, epochs=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training, the caller's random state and threads before and after."""
    directory = tmp_path_factory.mktemp("training")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(123)
    before = torch.get_rng_state(), torch.get_num_threads()
    result = train(DataConfig(), SMALL, SyqConfig(), SHORT, directory)
    after = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(threads)
    return directory, result, before, after


def test_files_agree_with_the_result(trained):
    directory, result, *_ = trained
    record = json.loads((directory / "training.json").read_text())
    digits = datasets.load("digits")
    for path, name, accuracy, epochs in (
        (result.checkpoint, "quantized", result.accuracy, SHORT.epochs),
        (result.float_checkpoint, "float", result.float_accuracy, SHORT.float_epochs),
    ):
        logits = predict(path, digits.x_test)
        assert logits.shape == (360, 10)
        assert logits.dtype == np.float32
        assert accuracy == np.mean(logits.argmax(axis=1) == digits.y_test)
        assert record[name]["accuracy"] == accuracy
        assert len(record[name]["epochs"]) == epochs
        assert record[name]["epochs"][-1]["loss"] < record[name]["epochs"][0]["loss"]
    assert record["network"] == json.loads(SMALL.model_dump_json())
    assert load_training_result(directory) == result
    assert result.float_accuracy > 0.8
    assert result.accuracy > 0.8


def test_same_seed_same_network(trained, tmp_path):
    _, result, *_ = trained
    again = train(DataConfig(), SMALL, SyqConfig(), SHORT, tmp_path / "again")
    assert again.checkpoint.read_bytes() == result.checkpoint.read_bytes()
    assert again.float_checkpoint.read_bytes() == result.float_checkpoint.read_bytes()


def test_other_seed_other_network(trained, tmp_path):
    _, result, *_ = trained
    other = train(DataConfig(), SMALL, SyqConfig(), SHORT.model_copy(update={"seed": 1}), tmp_path)
    assert other.checkpoint.read_bytes() != result.checkpoint.read_bytes()


def test_the_callers_random_state_and_threads_are_kept(trained):
    *_, before, after = trained
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_trained_scales_are_on_the_grid(trained):
    network = checkpoint.load(trained[1].checkpoint)
    for layer in (network.conv1, network.conv2, network.fc):
        bits = int(layer.weight_quant.tensor_quant.fraction_bits)
        multipliers = layer.quant_weight().scale.detach().numpy() * 2.0**bits
        assert np.array_equal(multipliers, np.round(multipliers))
        assert multipliers.min() >= 1
        assert multipliers.max() <= 255


def test_learned_scales_move_less():
    """Adam's first step is as long as the learning rate."""
    twin = quantize(build_network(SMALL), SyqConfig())
    twin(torch.rand(2, *twin.input_shape))  # sets the scales
    before = {name: parameter.detach().clone() for name, parameter in twin.named_parameters()}
    for parameter in twin.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam(twin, 0.01).step()
    steps = {name: (before[name] - now).abs().max() for name, now in twin.named_parameters()}
    scales = {name for name in steps if "tensor_quant" in name}
    assert len(scales) == 3
    for name, step in steps.items():
        assert step.item() == pytest.approx(0.001 if name in scales else 0.01, rel=1e-3)


def test_wrong_input_shape(trained):
    with pytest.raises(UserError, match=r"takes \[N, 1, 8, 8\]"):
        predict(trained[1].checkpoint, np.zeros((8, 8)))


def test_a_last_batch_of_one_is_part_of_the_one_before():
    """Batch normalization of vectors has no variance of one sample."""
    x = torch.rand(33, 5, generator=torch.Generator().manual_seed(0))
    data, sizes = DataLoader(TensorDataset(x, (x.sum(1) > 2.5).long()), batch_size=16), []
    network = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    network[0].register_forward_hook(
        lambda layer, inputs, outputs: sizes.append(len(outputs)) if layer.training else None
    )
    (epoch,) = qdeploy.fit(network, data, data, epochs=1)
    assert np.isfinite(epoch.loss)
    assert sizes == 2 * [16, 17]  # training, statistics


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_cuda(tmp_path):
    """Two trainings are equal in every byte, and the accuracy is that of the CPU."""
    training, digits = SHORT.model_copy(update={"device": "cuda"}), datasets.load("digits")
    one, other = (
        train(DataConfig(), SMALL, SyqConfig(), training, tmp_path / name) for name in ("a", "b")
    )
    assert one.checkpoint.read_bytes() == other.checkpoint.read_bytes()
    classes = predict(one.checkpoint, digits.x_test).argmax(axis=1)
    assert one.accuracy == np.mean(classes == digits.y_test)


def test_divergence_is_an_error(tmp_path):
    diverging = TrainingConfig(float_epochs=1, epochs=1, learning_rate=1e30)
    with pytest.raises(UserError, match=r"diverged in epoch 1.*\n.*learning_rate"):
        train(DataConfig(), SMALL, SyqConfig(), diverging, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_is_an_error(tmp_path):
    (tmp_path / "training.json").write_text('{"seconds": 1')
    with pytest.raises(UserError, match="cannot read"):
        load_training_result(tmp_path)


def test_configuration_needs_no_torch():
    program = (
        "import sys, qdeploy.config, qdeploy.networks, qdeploy.quantizers\n"
        "assert not {'torch', 'brevitas', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_digits_reach_98_percent(tmp_path):
    """Ternary weights, 2-bit activations, pixel scales, the demo's recipe: mean of 3 seeds."""
    accuracies = [
        train(
            DataConfig(),
            NetworkConfig(),
            SyqConfig(),
            TrainingConfig(seed=seed),
            tmp_path / str(seed),
        ).accuracy
        for seed in range(3)
    ]
    assert np.mean(accuracies) >= 0.98, accuracies
