# SPDX-License-Identifier: Apache-2.0
"""Learned widths: within each kind of budget, and all the way to integers."""

import numpy as np
import pytest
import torch
from quantized_networks import quantized_network

from qdeploy.cpu import Session, pack
from qdeploy.errors import UserError
from qdeploy.exporter import export
from qdeploy.integer import Convolution, Linear, run
from qdeploy.lowering import lower
from qdeploy.networks.config import NetworkConfig
from qdeploy.quantizers.config import FractionalBitsConfig, quantization_config
from qdeploy.training import checkpoint, datasets, predict, train
from qdeploy.training.budgets import layer_costs
from qdeploy.training.config import DataConfig, TrainingConfig

SMALL = NetworkConfig(channels=(4, 8))


def config(**values):
    return quantization_config(method="fractional-bits", **values)


@pytest.mark.parametrize("bits", [2.6, 4.0])
def test_average_bits_within_the_budget(bits, tmp_path):
    training = TrainingConfig(float_epochs=8, epochs=16)
    result = train(DataConfig(), SMALL, config(amount=bits), training, tmp_path)
    assert bits - 0.8 < result.average_bits <= bits + 1e-6
    assert result.accuracy > 0.85
    export(result.checkpoint, tmp_path / "net.onnx")
    network = lower(tmp_path / "net.onnx")
    quantizers = [
        getattr(checkpoint.load(result.checkpoint), layer).weight_quant.tensor_quant
        for layer in ("conv1", "conv2", "fc")
    ]
    layers = [n for n in network.nodes if isinstance(n, (Convolution, Linear))]
    for node, quantizer in zip(layers, quantizers, strict=True):
        width = quantizer.bits.item()
        assert width == int(width)
        (plane,) = node.weights.planes
        assert abs(plane.codes).max() == 2 ** (width - 1) - 1
    x = datasets.load("digits").x_test
    integers = run(network, x)
    assert np.array_equal(
        network.real_output(integers).argmax(1), predict(result.checkpoint, x).argmax(1)
    )
    pack(network, tmp_path / "cpu.onnx")
    assert np.array_equal(Session(tmp_path / "cpu.onnx").run_integers(x), integers)


@pytest.mark.parametrize(
    "budget",
    [
        {"budget": "luts", "fps": 50_000, "amount": 1e6},
        {"budget": "cycles", "fill": 0.5, "amount": 1e6},
        {"budget": "cpu-time", "amount": 1e6},
    ],
)
def test_costs_of_hardware(budget):
    """Positive, never falling with the width; a network of 8 bits costs more than one of 2."""
    torch.manual_seed(0)
    network = quantized_network(channels=(4, 8), method="fractional-bits", **budget)
    network(torch.rand(4, 1, 8, 8))
    costs, rest = layer_costs(network, network.quantization, torch.zeros(1, 1, 8, 8))
    assert costs.shape == (3, 7)
    assert (costs > 0).all()
    assert (costs.diff(dim=1) >= 0).all()
    if budget["budget"] == "luts":  # on a CPU the widths of tables count, not those of weights
        assert costs[:, -1].sum() > 1.5 * costs[:, 0].sum()
    assert 0 < rest <= 1e6
    assert network.conv1.weight_quant.tensor_quant.bits == 6


def test_a_budget_below_the_least_is_refused():
    network = quantized_network(method="fractional-bits", amount=1.9)
    with pytest.raises(UserError, match=r"budget of 1\.9 bits; .* 2 bits .* takes 2\n"):
        layer_costs(network, network.quantization, torch.zeros(1, 1, 8, 8))


def test_the_budget_has_no_default():
    with pytest.raises(UserError, match="amount"):
        quantization_config(method="fractional-bits")
    assert FractionalBitsConfig(method="fractional-bits", amount=3).search == 0.6
