# SPDX-License-Identifier: Apache-2.0
"""Activations on levels that are sums of scales."""

import itertools

import numpy as np
import onnx
import pytest
import torch
from comparison import compare

from qdeploy.exporter import export_qonnx
from qdeploy.integer import Threshold
from qdeploy.quantizers import FixedPointActivation, SyqBinaryLayer
from qdeploy.quantizers.multibit.activation import MultibitReLU


def following(bits: int, x: torch.Tensor) -> MultibitReLU:
    activation = MultibitReLU(bits)
    for _ in range(20):
        activation(x)
    return activation.eval()


def draw() -> torch.Tensor:
    return torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_values_are_the_nearest_sums(bits):
    x = draw()
    activation = following(bits, x)
    integers, step = activation.integers()
    sums = {
        sum(chosen)
        for n in range(bits + 1)
        for chosen in itertools.combinations(torch.round(activation.scales / step).tolist(), n)
    }
    assert integers.tolist() == sorted(sums)
    assert integers[0] == 0
    assert integers[-1] < 2 ** (bits + 2)
    distances = (x.clamp(min=0)[:, None] - integers * step).abs()
    y = activation(x)
    torch.testing.assert_close((x.clamp(min=0) - y).abs(), distances.amin(dim=1))


def test_levels_fit_better_than_even_ones():
    """A half normal distribution; rounding of the levels included."""
    x = draw().clamp(min=0)
    errors = []
    for scale in torch.linspace(0.2, 3, 50):
        errors.append(float((torch.round(x / scale).clamp(max=3) * scale - x).square().mean()))
    found = float((following(2, x)(x) - x).square().mean())
    assert found < 1.05 * min(errors)
    assert found < float((following(1, x)(x) - x).square().mean())


def test_gradients_pass_between_the_ends():
    activation = following(2, draw())
    integers, step = activation.integers()
    top = float(integers[-1]) * step
    x = torch.tensor([-0.1, 0.0, top / 3, top, top + 0.1], requires_grad=True)
    activation(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_nothing_positive_leaves_the_levels_alone():
    activation = MultibitReLU(2)
    assert not activation(torch.full((3,), -1.0)).any()
    assert not activation.scales.any()


def test_exported_as_thresholds(tmp_path):
    torch.manual_seed(0)
    import brevitas.nn as qnn

    network = torch.nn.Sequential(
        qnn.QuantIdentity(act_quant=FixedPointActivation, bit_width=3),
        qnn.QuantConv2d(2, 4, 3, weight_quant=SyqBinaryLayer),
        torch.nn.BatchNorm2d(4),
        MultibitReLU(2),
        qnn.QuantConv2d(4, 3, 2, weight_quant=SyqBinaryLayer),
    )
    x = torch.rand(8, 2, 5, 5)
    for _ in range(5):
        network(x)
    export_qonnx(network, x[:1], tmp_path / "net.onnx")
    integers = compare(onnx.load(tmp_path / "net.onnx"), tmp_path)
    (threshold,) = (node for node in integers.nodes if isinstance(node, Threshold))
    levels, step = network[3].integers()
    assert threshold.thresholds.shape[1] == levels[-1]
    assert len(np.unique(threshold.thresholds[0])) <= 3
    assert integers.tensors[threshold.output].meaning.scale == (step,)
