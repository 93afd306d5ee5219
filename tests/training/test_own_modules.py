# SPDX-License-Identifier: Apache-2.0
"""`qdeploy.fit`: a user's own module with each method, from floats to integers on the CPU."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import qdeploy
from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.quantizers.bits import average_bits, quantized_layers
from qdeploy.training import datasets
from qdeploy.training.config import TrainingConfig
from qdeploy.training.task import Classification

METHODS = {
    "syq": {"weights": "binary", "granularity": "row"},
    "laq": {"weights": "ternary"},
    "retraining": {"bits": 2, "rounds": 2},
    "alq": {"bits": 3, "rounds": 1, "activation_levels": "multibit"},
    "fractional-bits": {"amount": 3.5},
}


class Own(nn.Module):
    """One block is used twice; there is no attribute that our networks have."""

    def __init__(self):
        super().__init__()
        stem = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)
        )
        mix = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(stem, mix, mix)
        self.head = nn.Linear(96, 10)

    def forward(self, image):
        return self.head(self.body(image).flatten(1))


def batches(x, y, size=32, **options):
    return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), size, **options)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", 480)


@pytest.fixture(scope="module")
def loaders(digits):
    train = batches(digits.x_train, digits.y_train, shuffle=True)
    return train, batches(digits.x_test, digits.y_test, 120)


@pytest.fixture(scope="module")
def start(loaders):
    """Trained in float."""
    torch.manual_seed(0)
    network = Own()
    history = qdeploy.fit(network, *loaders, epochs=4, learning_rate=0.02)
    assert [epoch.phase for epoch in history] == ["float"] * 4
    assert history[-1].metric > 0.8
    return network


def codes(twin):
    """Of all layers, the sum over their planes."""
    return [
        sum(p.codes for p in q.deployed(layer.weight)) for _, layer, q in quantized_layers(twin)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_from_training_to_integers(method, start, loaders, digits, tmp_path):
    twin = qdeploy.quantize(start, method=method, activations=3, **METHODS[method])
    before = codes(copy.deepcopy(twin))
    history = qdeploy.fit(twin, *loaders, epochs=4, learning_rate=0.02)
    assert history[-1].metric > (0.3 if method == "alq" else 0.6)
    after = codes(twin.eval())
    assert len(after) == 3
    assert not any(map(torch.equal, before, after))
    bits = {"syq": 1, "laq": 2, "retraining": 2}
    assert average_bits(twin) <= bits.get(method, 3.5)
    if method == "laq":
        quantizers = [quantizer for _, _, quantizer in quantized_layers(twin)]
        assert all(quantizer.states[0].curvature.std() > 0 for quantizer in quantizers)
    x = digits.x_test[:60]
    qdeploy.export(twin, tmp_path / "net.onnx", example_input=torch.from_numpy(x[:1]))
    network = lower(tmp_path / "net.onnx")
    integers = run(network, x)
    logits = twin(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(network.real_output(integers), logits, atol=1e-4)
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)


@pytest.mark.slow
def test_costs_of_the_compiler_for_an_own_module(start, loaders):
    """Widths under a budget of LUTs need an input of the module, which the batches have."""
    twin = qdeploy.quantize(
        start, method="fractional-bits", budget="luts", amount=9000, fps=5000, activations=2
    )
    qdeploy.fit(twin, *loaders, epochs=2)
    widths = [quantizer.bits.item() for _, _, quantizer in quantized_layers(twin)]
    assert all(width == int(width) for width in widths)
    assert 2 <= min(widths) <= max(widths) <= 8


def test_a_loss_of_ones_own(start, loaders):
    """Here of the only class there is; the metric is its mean on the test batches."""
    train, test = ([(x, (y == 3).float()) for x, y in part] for part in loaders)

    def loss(outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 3], targets)

    twin = qdeploy.quantize(start, method="laq", activations=3)
    history = qdeploy.fit(twin, train, test, epochs=2, loss=loss)
    with torch.no_grad():
        twin.eval()
        x, y = (torch.cat(part) for part in zip(*test, strict=True))
        expected = float(loss(twin(x), y))
    assert history[-1].metric == pytest.approx(expected, rel=1e-4)
    assert history[-1].metric < 0.3


def test_sequences_have_a_class_per_step():
    torch.manual_seed(0)
    tokens = torch.arange(400).reshape(20, 20) % 5
    data = [(part[:, :-1], part[:, 1:]) for part in tokens.split(4)]
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
    assert qdeploy.fit(model, data, data, epochs=20)[-1].metric == 1.0
    twin = qdeploy.quantize(model, method="retraining", rounds=1)
    assert qdeploy.fit(twin, data, data, epochs=3)[-1].metric == 1.0


def test_an_interrupted_call_goes_on(start, loaders, tmp_path):
    train, test = loaders
    file = tmp_path / "state.safetensors"
    steps, options = [], {"epochs": 3, "learning_rate": 0.01}

    def twin():
        return qdeploy.quantize(start, method="retraining", rounds=1)

    def interrupted(outputs, targets):
        steps.append(1)
        if len(steps) == 2 * len(train) + 9:  # in the second epoch, behind an evaluation
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    whole, resumed = twin(), twin()
    history = qdeploy.fit(whole, train, test, loss=nn.functional.cross_entropy, **options)
    with pytest.raises(KeyboardInterrupt):
        qdeploy.fit(twin(), train, test, loss=interrupted, state_file=file, **options)
    assert file.is_file()
    again = qdeploy.fit(
        resumed, train, test, loss=nn.functional.cross_entropy, state_file=file, **options
    )
    assert again == history
    assert not file.exists()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_callers_random_state_is_kept_and_seeds_decide(start, loaders):
    twins = [qdeploy.quantize(start) for _ in range(3)]
    before = torch.get_rng_state()
    for twin, seed in zip(twins, (0, 0, 1), strict=True):
        qdeploy.fit(twin, *loaders, epochs=1, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
    one, same, other = (twin.head.weight for twin in twins)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


X, Y = torch.rand(4, 1, 8, 8), torch.arange(4)


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        ([], {}, "0 batches for training and 1 for testing"),
        ([(X, Y.double())], {}, r"targets of type torch.float64 are no classes\n.*loss="),
        ([(2 * X - 1, Y)], {}, r"inputs from -\S+ to \S+; the twin's input quantizer takes 0 .. 1"),
        ([(255 * X, Y)], {}, "inputs from"),
        ([(X, Y)], {"epochs": 0}, "epochs"),
        ([(X, Y)], {"device": "tpu"}, "device"),
    ],
)
def test_refused(train, options, message, start):
    with pytest.raises(UserError, match=message):
        qdeploy.fit(qdeploy.quantize(start), train, [(X, Y)], **options)


def test_squared_hinge_of_sequences():
    """Of every step against its class."""
    task = Classification(datasets.load("phrases", 4), TrainingConfig(loss="squared-hinge"))
    targets = torch.tensor([[0, 2]])
    outputs = torch.tensor([[[1.0, -1.0, -1.0], [-1.0, -1.0, 0.0]]])
    assert task.loss(outputs, targets).item() == pytest.approx(1 / 6)
