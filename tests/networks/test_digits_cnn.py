# SPDX-License-Identifier: Apache-2.0
"""The demo network's shape, and what hardware asks of it."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from quantized_networks import quantized_network

from qdeploy.networks import NetworkConfig, build_network


@pytest.mark.parametrize("weights", ["float", "binary", "ternary"])
def test_shapes_and_no_bias(weights):
    network = quantized_network(weights=weights)
    assert network(torch.rand(3, *network.input_shape)).shape == (3, 10)
    biases = [name for name, _ in network.named_parameters() if name.endswith("bias")]
    assert biases == ["bn1.bias", "bn2.bias"]


def test_the_float_network_has_the_same_parameters():
    quantized = quantized_network(channels=(4, 6)).state_dict()
    plain = build_network(NetworkConfig(channels=(4, 6))).state_dict()
    shared = {name: tensor.shape for name, tensor in quantized.items() if name in plain}
    assert shared == {name: tensor.shape for name, tensor in plain.items()}
    assert all(".tensor_quant." in name for name in quantized.keys() - plain.keys())


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_logits_are_one_scale_times_integers(bits):
    torch.manual_seed(0)
    network = quantized_network(activations=bits)
    x = torch.randint(0, 17, (8, 1, 8, 8)) / 16
    for _ in range(20):
        network(x)  # statistics of batch normalization
    logits = network.eval()(x).detach().double().numpy()
    scale = network.fc.quant_weight().scale.item() * 2.0 ** (1 - bits)
    assert np.array_equal(logits / scale, np.round(logits / scale))
    assert np.unique(logits).size > 8


def test_conv2_is_small_enough_for_hardware():
    network = build_network(NetworkConfig())
    assert network.conv2.weight.numel() * 8 * 8 <= 300_000


@pytest.mark.parametrize("wrong", [{"name": "alexnet"}, {"channels": (0, 4)}, {"layers": 3}])
def test_wrong_configuration(wrong):
    with pytest.raises(ValidationError):
        NetworkConfig(**wrong)
