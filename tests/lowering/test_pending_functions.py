# SPDX-License-Identifier: Apache-2.0
"""Functions per channel, and factors of both signs behind them, against exact rationals."""

import numpy as np
import pytest
from comparison import compare
from qonnx_files import QonnxFile

from qdeploy.errors import UserError
from qdeploy.integer import Requantize
from qdeploy.lowering import lower

EPSILON = 2.0**-10
CHANNELS = 6


def convolution(f: QonnxFile, rng: np.random.Generator, x: str, inputs: int) -> str:
    """One scale per output channel, and a bias."""
    scale = rng.choice([0.125, 0.25, 0.375, 0.5], (CHANNELS, 1, 1, 1))
    codes = rng.integers(-3, 4, (CHANNELS, inputs, 3, 3))
    weights = f.quant(f.constant(codes * scale), scale, 3, narrow=1)
    return f.node("Conv", x, weights, f.constant(rng.integers(-9, 10, CHANNELS) / 8))


def batch_norm(f: QonnxFile, rng: np.random.Generator, x: str) -> str:
    """Factors of both signs, one of them 0."""
    gamma = rng.choice([-2.0, -0.5, 0.75, 1.5], CHANNELS)
    gamma[1] = 0
    beta, mean = rng.integers(-8, 9, (2, CHANNELS)) / 4
    variance = (rng.integers(1, 16, CHANNELS) / 8) ** 2 - EPSILON
    parameters = map(f.constant, (gamma, beta, mean, variance))
    return f.node("BatchNormalization", x, *parameters, epsilon=EPSILON)


def relu(f: QonnxFile, rng: np.random.Generator, x: str) -> str:
    return f.node("Relu", x)


def prelu(f: QonnxFile, rng: np.random.Generator, x: str) -> str:
    slopes = rng.choice([0.0, 0.25, 0.5, 1.0, 3.0], (CHANNELS, 1, 1))
    return f.node("PRelu", x, f.constant(slopes))


CHAINS = {
    "relu, norm": [relu, batch_norm],
    "norm, prelu": [batch_norm, prelu],
    "prelu, norm, relu, norm": [prelu, batch_norm, relu, batch_norm],
}


@pytest.mark.parametrize("bits", [2, 4, 12])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("seed", range(3))
def test_functions_and_normalizations_before_a_quantizer(seed, chain, bits, tmp_path):
    f, rng = QonnxFile((2, 5, 5)), np.random.default_rng(seed)
    x = convolution(f, rng, f.quant("x", 0.25, 4), 2)
    for function in CHAINS[chain]:
        x = function(f, rng, x)
    x = f.node("MaxPool", x, kernel_shape=[2, 2])
    network = compare(f.model(f.quant(x, 8 / 2**bits, bits), rank=4), tmp_path, samples=8)
    assert network is not None
    if bits == 12 and chain == "relu, norm":
        assert any(isinstance(node, Requantize) for node in network.nodes)


@pytest.mark.parametrize("seed", range(3))
def test_normalized_relu_of_codes_without_a_quantizer(seed, tmp_path):
    """The codes are limited to codes; the factors join the scales of the next layer."""
    f, rng = QonnxFile((CHANNELS, 5, 5)), np.random.default_rng(seed)
    x = batch_norm(f, rng, relu(f, rng, f.quant("x", 0.25, 4)))
    network = compare(f.model(f.node("GlobalAveragePool", x), rank=4), tmp_path, samples=8)
    assert network is not None


def test_falling_slopes_are_refused(tmp_path):
    f, rng = QonnxFile((2, 5, 5)), np.random.default_rng(0)
    x = convolution(f, rng, f.quant("x", 0.25, 4), 2)
    slopes = np.array([0.5, -0.25, 0, 0, 0, 1]).reshape(CHANNELS, 1, 1)
    y = f.quant(f.node("PRelu", x, f.constant(slopes), name="/act/PRelu"), 0.25, 4)
    path = f.save(y, tmp_path / "net.onnx", rank=4)
    with pytest.raises(UserError, match=r"layer 'act': PRelu with slope -0\.25"):
        lower(path)
