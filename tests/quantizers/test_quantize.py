# SPDX-License-Identifier: Apache-2.0
"""Twins of ordinary torch modules: which layers they have, and that they reach integers."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

import qdeploy
from qdeploy.errors import UserError
from qdeploy.exporter import export_qonnx
from qdeploy.integer import run
from qdeploy.lowering import lower
from qdeploy.quantizers import Branch
from qdeploy.quantizers.bits import average_bits


class Own(nn.Module):
    """A module as a user writes it: biases, groups, a residual branch, a leaky ReLU."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.branch = Branch()
        self.act = nn.ReLU()
        self.leaky = nn.LeakyReLU(0.125)
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x):
        x = self.stem(x)
        x = self.act(self.branch(self.body(x)) + x)
        return self.head(self.leaky(x).flatten(1))


@pytest.fixture
def own():
    torch.manual_seed(0)
    return Own()


def logits_and_integers(twin, folder):
    x = torch.rand(12, 2, 4, 4)
    for _ in range(10):
        twin(x)
    logits = twin.eval()(x).detach().numpy()
    export_qonnx(twin, x[:1], folder / "net.onnx")
    network = lower(folder / "net.onnx")
    return logits, network.real_output(run(network, x.numpy())), network


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "binary", "granularity": "row", "activations": 3},
        {"first_and_last": "int8", "input_bits": 4},
        {"method": "brevitas", "weights": "ternary"},
        {"method": "brevitas", "weights": "binary", "activations": 4},
    ],
)
def test_an_own_module_reaches_integers(options, own, tmp_path):
    twin = qdeploy.quantize(own, **options)
    logits, found, _ = logits_and_integers(twin, tmp_path)
    assert np.isclose(found, logits, atol=1e-5).all(axis=1).mean() > 0.7
    assert len(np.unique(logits, axis=0)) > 2


def test_layers_keep_names_and_parameters(own):
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    twin = qdeploy.quantize(own)
    assert isinstance(twin, Own)
    assert isinstance(twin.stem[0], qnn.QuantConv2d)
    assert twin.body.groups == 2
    state = twin.state_dict()
    for name, tensor in before.items():
        assert torch.equal(state[name], tensor)
        assert torch.equal(own.state_dict()[name], tensor)
    assert isinstance(own.head, nn.Linear)
    assert not isinstance(own.head, qnn.QuantLinear)
    assert average_bits(own) is None
    assert average_bits(twin) == 2


def test_ternary_weights_of_wide_layers_are_not_all_zero():
    """Their initial weights are far smaller than those of narrow ones."""
    twin = qdeploy.quantize(nn.Linear(4096, 4), method="brevitas", weights="ternary")
    codes = twin.quant_weight().int()
    assert 0.2 < float((codes == 0).float().mean()) < 0.6


def test_single_layers_have_their_own_values(own, tmp_path):
    layers = {"body": {"weights": "binary"}, "act": {"activations": 4}, "head": {"weights": "int8"}}
    twin = qdeploy.quantize(own, weights="ternary", layers=layers)
    assert twin.body.weight_quant.tensor_quant.codes == "binary"
    assert twin.stem[0].weight_quant.tensor_quant.codes == "ternary"
    _, _, network = logits_and_integers(twin, tmp_path)
    ranges = {node.name: network.tensors[node.output].range for node in network.nodes}
    assert ranges["act"].high == 15
    assert ranges["stem.2"].high == 3


def test_one_bit_of_input_says_whether_it_is_above_a_half():
    twin = qdeploy.quantize(nn.Sequential(nn.Flatten()), input_bits=1)
    x = torch.tensor([[0.0, 0.4, 0.5, 0.6, 1.0]])
    assert twin(x).tolist() == [[-1, -1, 1, 1, 1]]


def test_without_input_quantizer():
    twin = qdeploy.quantize(nn.Sequential(nn.Flatten()), input_bits=None)
    assert twin(torch.tensor([[0.123]])).item() == pytest.approx(0.123)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "decimal"}, r"weights: .*'decimal'"),
        ({"method": "magic"}, "magic"),
        ({"granularity": "pixel", "method": "brevitas"}, "granularity"),
        ({"activations": 9}, r"activations: .*given: 9"),
        ({"layers": {"stam": {}}}, r"no layer 'stam'.*\n.*stem\.0, .*body"),
        ({"layers": {"body": {"weights": 3}}}, "layer 'body': weights"),
        ({"layers": {"body": {"wights": "binary"}}}, "layer 'body': wights"),
    ],
)
def test_wrong_options(options, message, own):
    with pytest.raises(UserError, match=message):
        qdeploy.quantize(own, **options)
