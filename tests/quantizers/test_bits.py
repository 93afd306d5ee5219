# SPDX-License-Identifier: Apache-2.0
"""Average bits: every weight counts, whoever quantizes it, or nobody."""

import pytest
from torch import nn

import qdeploy
from qdeploy.networks import NetworkConfig, build_network
from qdeploy.quantizers.bits import average_bits
from qdeploy.quantizers.config import quantization_config
from qdeploy.quantizers.quantize import quantize


def three(**options):
    """Layers of 60, 20 and 20 weights; biases and normalization do not count."""
    layers = (nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Linear(10, 2), nn.ReLU(), nn.Linear(2, 10))
    return average_bits(qdeploy.quantize(nn.Sequential(*layers), **options))


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({}, 2),
        ({"first_and_last": "int8"}, (80 * 8 + 20 * 2) / 100),
        ({"layers": {"0": {"weights": "float"}}}, (60 * 32 + 40 * 2) / 100),
        ({"method": "laq", "weights": "linear", "bits": 5}, 5),
        ({"method": "brevitas", "weights": "binary"}, 1),
        ({"method": "brevitas", "weights": "ternary", "first_and_last": "int8"}, 6.8),
        ({"weights": "int8"}, 8),
    ],
)
def test_every_layer_counts(options, bits):
    assert three(**options) == pytest.approx(bits)


def test_layers_of_equal_size():
    layers = (nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    assert average_bits(qdeploy.quantize(nn.Sequential(*layers), first_and_last="int8")) == 6


@pytest.mark.parametrize(("activations", "float_lstm"), [(8, False), (None, False), (None, True)])
def test_embeddings_and_recurrent_layers(activations, float_lstm):
    """A table [12, 4] of 8 bits, 8 matrices [4, 4], ternary or float, a decoder [12, 4]."""
    layers = {"lstm": {"weights": "float"}} if float_lstm else {}
    config = quantization_config(method="laq", activations=activations, layers=layers)
    network = build_network(NetworkConfig(name="word_lstm", channels=(4,), vocabulary=12))
    lstm = 32 if float_lstm else 2
    assert average_bits(quantize(network, config)) == (48 * 8 + 128 * lstm + 48 * 2) / 224


def test_float_networks_have_none():
    assert average_bits(build_network(NetworkConfig())) is None
    assert average_bits(nn.ReLU()) is None
