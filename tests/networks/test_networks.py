# SPDX-License-Identifier: Apache-2.0
"""Every network: shapes, the float twin, and lowering to integers that compute the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from quantized_networks import quantized_network
from torch import nn

from qdeploy.errors import UserError
from qdeploy.exporter import export_qonnx
from qdeploy.integer import Add, IntegerNetwork, Linear, run
from qdeploy.lowering import lower
from qdeploy.networks import NetworkConfig, build_network

NARROW = {
    "digits_cnn": (4, 6),
    "tfc": (16, 12, 20),
    "sfc": (16, 12, 20),
    "lfc": (16, 12, 20),
    "laq_mlp": (16, 12, 20),
    "laq_cnn": (8, 10, 12, 16),
    "lenet5": (3, 4, 8),
    "cnv": (8, 10, 12, 16),
    "vgg_small": (8, 10, 12),
    "resnet18": (4, 6, 8, 10),
    "resnet20": (4, 6, 8),
    "signal_cnn": (8, 10, 12),
}


def exported_and_lowered(network: nn.Module, x: torch.Tensor, folder: Path) -> IntegerNetwork:
    path = folder / "net.onnx"
    export_qonnx(network, x, path)
    return lower(path)


@pytest.mark.parametrize(
    ("name", "bits"), [*((name, 2) for name in NARROW), ("tfc", 1), ("cnv", 1), ("resnet20", 1)]
)
def test_the_integers_compute_what_torch_computes(name: str, bits: int, tmp_path: Path) -> None:
    """Up to where torch's float32 falls on the other side of a threshold."""
    torch.manual_seed(1)
    network = quantized_network(name, NARROW[name], activations=bits)
    x = torch.rand(16, *network.input_shape)
    for _ in range(20):
        network(x)  # statistics of batch normalization
    logits = network.eval()(x).detach().numpy()
    integers = exported_and_lowered(network, x[:1], tmp_path)
    found = integers.real_output(run(integers, x.numpy()))
    assert found.shape == logits.shape == (16, 10)
    equal = np.isclose(found, logits, atol=1e-5).all(axis=1)
    assert equal.mean() > 0.8
    assert len(np.unique(logits, axis=0)) > 2


@pytest.mark.parametrize("name", NARROW)
def test_the_float_twin_has_the_same_parameters(name: str) -> None:
    quantized = quantized_network(name, NARROW[name]).state_dict()
    plain = build_network(NetworkConfig(name=name, channels=NARROW[name])).state_dict()
    assert len(plain) > 3
    assert all(quantized[key].shape == plain[key].shape for key in plain)


def test_published_sizes() -> None:
    """Weights of the published networks, counted by hand."""
    counts = {"tfc": 59_008, "sfc": 334_336, "lfc": 2_910_208, "lenet5": 430_500, "cnv": 1_542_848}
    counts |= {"vgg_small": 4_656_512, "laq_cnn": 14_022_016, "laq_mlp": 10_014_720}
    counts |= {"resnet18": 11_164_352, "resnet20": 270_896}
    for name, expected in counts.items():
        network = build_network(NetworkConfig(name=name))
        weights = [p for key, p in network.named_parameters() if p.ndim > 1]
        assert sum(p.numel() for p in weights) == expected, name


def test_residual_branches_meet_with_equal_scales(tmp_path: Path) -> None:
    network = quantized_network("resnet20", (2, 3, 4)).eval()
    x = torch.rand(1, 3, 32, 32)
    nodes = exported_and_lowered(network, x, tmp_path).nodes
    assert [n.multipliers for n in nodes if isinstance(n, Add)] == [(1, 1)] * 9
    assert sum(isinstance(n, Linear) for n in nodes) == 1


def test_a_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"lenet5 lets you choose 3 .* 2 are given"):
        build_network(NetworkConfig(name="lenet5", channels=(3, 4)))
