# SPDX-License-Identifier: Apache-2.0
"""Layers whose weights are sums of bases: quantized after training, gradients, deployed planes."""

import brevitas.nn as qnn
import pytest
import torch

from qdeploy.quantizers.alq.quantizer import AlqWeights
from qdeploy.quantizers.multibit.quantizer import MultibitWeights
from qdeploy.quantizers.quantizer import sum_of

QUANTIZERS = {
    "multibit": MultibitWeights.let(bits=3),
    "pruned": MultibitWeights.let(bits=1, pruned=0.5),
    "kernelwise": AlqWeights.let(structure="kernelwise"),
    "pixelwise": AlqWeights.let(structure="pixelwise"),
    "channelwise": AlqWeights,
    "subchannelwise": AlqWeights.let(structure="subchannelwise", pieces=2),
}


@pytest.fixture(params=QUANTIZERS)
def layer(request) -> qnn.QuantConv2d:
    torch.manual_seed(0)
    return qnn.QuantConv2d(4, 6, 3, weight_quant=QUANTIZERS[request.param])


def test_planes_are_what_the_layer_computes_with(layer):
    quantizer = layer.weight_quant.tensor_quant
    planes = quantizer.planes(layer.weight)
    torch.testing.assert_close(layer.quant_weight().value, sum_of(planes))
    largest = max(float(plane.scale.max()) for plane in planes)
    step = 2.0 ** next(f for f in range(-64, 64) if 128 <= largest / 2.0**f < 256)
    for plane in planes:
        integers = plane.scale / step
        assert torch.equal(integers, integers.round())
        assert integers.min() >= 1
        assert integers.max() < 256
        assert set(plane.codes.unique().tolist()) <= {-1, 0, 1}


def test_planes_that_no_group_has_are_not_deployed(layer):
    quantizer = layer.weight_quant.tensor_quant
    with torch.no_grad():
        layer(torch.zeros(1, 4, 3, 3))
        quantizer.scales[:, 0] = 0
        quantizer.codes[:, 0] = 0
    planes = quantizer.planes(layer.weight)
    assert len(planes) == max(1, int((quantizer.scales > 0).sum(dim=1).max()))
    assert len(planes) < quantizer.bits or quantizer.bits == 1
    torch.testing.assert_close(layer.quant_weight().value, sum_of(planes))
    if quantizer.bits == 1:
        assert not planes[0].codes.any()


def test_gradients_reach_weights_and_scales(layer):
    quantizer = layer.weight_quant.tensor_quant
    x, y = torch.randn(2, 4, 5, 5), torch.randn(2, 6, 3, 3)
    (layer(x) * y).sum().backward()
    float_layer = torch.nn.Conv2d(4, 6, 3)
    (float_layer(x) * y).sum().backward()
    torch.testing.assert_close(layer.weight.grad, float_layer.weight.grad)
    groups = quantizer.groups.split(float_layer.weight.grad)
    expected = (quantizer.codes * groups[:, None]).sum(dim=2)
    torch.testing.assert_close(quantizer.scales.grad, expected, atol=1e-4, rtol=1e-4)
